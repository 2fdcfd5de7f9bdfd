// A run that is stopped in the middle and resumed ends with the same bits as one that never stopped.
// Run it: npx tsx examples/03-resume.ts
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { resolveConfig, resumeRun, startRun } from 'hearth/train'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const runs = here('../runs/examples')
const STEPS = 24

// The whole configuration of a run; a recipe is a function that returns one.
const config = resolveConfig({
  name: 'resume',
  steps: STEPS,
  batch: 4,
  slots: 2,
  sequenceLength: 32,
  model: {
    preset: 'spark',
    config: { hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 2 },
  },
  tokenizer: { vocabularySize: 384 },
  data: { sources: [{ path: here('texts/carroll.txt') }], heldOutFraction: 0 },
  optimizer: { name: 'adamw', learningRate: 3e-3 },
  schedule: { kind: 'cosine', warmupSteps: 4 },
})

const whole = join(runs, 'whole')
const stopped = join(runs, 'stopped')
for (const dir of [whole, stopped]) rmSync(dir, { recursive: true, force: true })

await startRun(config, { dir: whole })
console.log(`one run did ${STEPS} steps at a stretch`)

// The other is asked to stop after step 10, as Ctrl+C would: it finishes the step, saves and returns.
const stop = new AbortController()
const first = await startRun(config, {
  dir: stopped,
  signal: stop.signal,
  report: (event) => {
    if (event.kind === 'step' && event.step.number === 10) stop.abort()
  },
})
console.log(`the other was stopped after step ${first.step} of ${first.of}`)

const second = await resumeRun(stopped)
console.log(`and resumed: ${second.step} steps`)

const weightsOf = (dir: string) => readFileSync(join(dir, 'model/model.safetensors'))
console.log(`same bits: ${weightsOf(whole).equals(weightsOf(stopped))}`)
