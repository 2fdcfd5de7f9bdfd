// What this machine is and what set-up chose for it, without measuring anything.
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { cudaDeviceCount, cpuFeatures, hasFastBfloat16, numThreads, torchVersion } from '@hearth/torch'

/** What set-up left beside the native module (scripts/setup/native.mjs writes it). */
interface BuildRecord {
  libtorch?: { origin: string; version: string; library: string; cuda: boolean }
  blas?: { library: string; fast: boolean }
  compiler?: { path?: string; version?: string }
}

export interface Machine {
  processor: string
  cores: number
  memoryBytes: number
  availableBytes: number
  /** Processes that want a core, mean over the last minute. */
  load: number
  platform: string
  node: string
  build: BuildRecord | undefined
}

/** The engine as it runs in this process. */
export interface Engine {
  version: string
  threads: number
  features: string[]
  fastBfloat16: boolean
  cudaDevices: number
}

export function describeMachine(): Machine {
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: Math.min(totalmem(), process.constrainedMemory() || Infinity),
    availableBytes: process.availableMemory(),
    load: loadavg()[0] ?? 0,
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    build: readBuildRecord(),
  }
}

function readBuildRecord(): BuildRecord | undefined {
  const file = fileURLToPath(new URL('../build/config.json', import.meta.resolve('@hearth/torch')))
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as BuildRecord) : undefined
}

export const describeEngine = (): Engine => ({
  version: torchVersion(),
  threads: numThreads(),
  features: cpuFeatures(),
  fastBfloat16: hasFastBfloat16(),
  cudaDevices: cudaDeviceCount(),
})
