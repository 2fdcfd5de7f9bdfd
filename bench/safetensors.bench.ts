// Opening 500 MB of safetensors: the time until every tensor is there, the memory that takes, and, for scale, the time
// in which the same bytes are read into memory. Goal: under 50 ms warm, and memory only for what is touched.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { empty, readSafetensors, scope, writeSafetensors, type Tensor } from '@hearth/torch'
import { alternate, printTable, short, writeResult } from './measure.js'

const MEBIBYTE = 2 ** 20
const rss = () => process.memoryUsage().rss
const seconds = (body: () => void) => {
  const start = performance.now()
  body()
  return (performance.now() - start) / 1000
}

/** About 500 MB in 148 tensors, as GPT-2 124M in float32 has them. */
function writeModel(path: string): number {
  return scope(() => {
    const tensors: Record<string, Tensor> = { 'wte.weight': empty([50257, 768]), 'wpe.weight': empty([1024, 768]) }
    for (let layer = 0; layer < 12; layer++) {
      for (let i = 0; i < 8; i++) tensors[`h.${layer}.small.${i}`] = empty([768])
      for (const [name, width] of Object.entries({ qkv: 3, out: 1, up: 4, down: 4 }))
        tensors[`h.${layer}.${name}`] = empty([768, 768 * width])
    }
    for (const tensor of Object.values(tensors)) tensor.fill_(1)
    return seconds(() => writeSafetensors(path, tensors))
  })
}

const folder = mkdtempSync(join(tmpdir(), 'hearth-bench-'))
try {
  const path = join(folder, 'model.safetensors')
  const written = writeModel(path)
  const entries = [...readSafetensors(path).entries.values()]
  const bytes = entries.reduce((sum, entry) => sum + entry.nbytes, 0)

  const before = rss()
  const grown = scope(() => {
    using file = readSafetensors(path)
    const tensors = new Map([...file.entries.keys()].map((name) => [name, file.tensor(name)]))
    const opened = rss() - before
    tensors.get('h.0.up')!.sum().item()
    return { opened, touched: rss() - before, tensorBytes: tensors.get('h.0.up')!.nbytes }
  })

  const open = () =>
    scope(() => {
      using file = readSafetensors(path)
      return [...file.entries.keys()].map((name) => file.tensor(name)).length
    })
  const times = await alternate(
    { hearth: () => seconds(open), 'read into memory': () => seconds(() => readFileSync(path)) },
    { rounds: 11 },
  )

  const row = (name: keyof typeof times) => [
    name,
    times[name].median * 1000,
    times[name].low * 1000,
    times[name].high * 1000,
  ]
  console.log(`${short(bytes / MEBIBYTE)} MiB in ${entries.length} tensors, written in ${short(written)} s`)
  printTable(['opening, ms', 'median', 'from', 'to'], [row('hearth'), row('read into memory')])
  console.log(
    `memory: ${short(grown.opened / MEBIBYTE)} MiB more once all tensors are open, ` +
      `${short(grown.touched / MEBIBYTE)} MiB after reading one of ${short(grown.tensorBytes / MEBIBYTE)} MiB`,
  )
  writeResult('safetensors', { bytes, times, written, grown }, [
    {
      what: `opening ${short(bytes / MEBIBYTE)} MiB of safetensors`,
      unit: 'ms',
      hearth: times.hearth.median * 1000,
      peer: { name: 'read into memory', value: times['read into memory'].median * 1000 },
    },
  ])
} finally {
  rmSync(folder, { recursive: true, force: true })
}
