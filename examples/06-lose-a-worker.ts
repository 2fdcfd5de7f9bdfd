// A run whose worker is killed in the middle goes on by itself, and ends with the same bits as one that was left alone.
// Run it: npx tsx examples/06-lose-a-worker.ts
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { resolveConfig, startRun } from 'hearth/train'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const runs = here('../runs/examples')

const config = resolveConfig({
  name: 'lose-a-worker',
  steps: 30,
  batch: 4,
  slots: 2,
  sequenceLength: 32,
  model: {
    preset: 'spark',
    config: { hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 2 },
  },
  tokenizer: { vocabularySize: 384 },
  data: { sources: [{ path: here('texts/carroll.txt') }], heldOutFraction: 0 },
  optimizer: { learningRate: 3e-3 },
  schedule: { warmupSteps: 4 },
})

const calm = join(runs, 'calm')
const disturbed = join(runs, 'disturbed')
for (const dir of [calm, disturbed]) rmSync(dir, { recursive: true, force: true })

await startRun(config, { dir: calm, workers: 2 })
console.log('one run was left alone')

const pids = new Map<number, number>()
await startRun(config, {
  dir: disturbed,
  workers: 2,
  report: (event) => {
    if (event.kind === 'step' && event.step.number === 10) process.kill(pids.get(0)!, 'SIGKILL')
    if (event.kind !== 'trouble') return
    if (event.event.kind === 'worker-started') pids.set(event.event.worker, event.event.pid)
    if (event.event.kind === 'worker-lost') console.log(`worker ${event.event.worker} was lost: ${event.event.reason}`)
    if (event.event.kind === 'recovered') console.log(`step ${event.event.step} was done all the same`)
  },
})

const weightsOf = (dir: string) => readFileSync(join(dir, 'model/model.safetensors'))
console.log(`same bits: ${weightsOf(calm).equals(weightsOf(disturbed))}`)
