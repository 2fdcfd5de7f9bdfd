// What surrounds the maths of a training step: operators that the program calls and how often, memory asked of the
// system (page faults once warm), and the time that making its batch takes. Not the maths: see train.bench.ts.
//   npm run bench -- step [--preset spark] [--batch 8 --sequence-length 128] [--steps 6]
import { operatorCalls as calls } from './operator-calls.js'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { hasFastBfloat16 } from '@hearth/torch'
import { createLoader, prepareTokens, TokenShards, trainByteLevelBpe } from 'hearth/data'
import { printTable, short, summarise, writeResult } from './measure.js'
import { configOf, TrainStep } from './train-step.js'

const { values } = parseArgs({
  options: {
    preset: { type: 'string', default: 'spark' },
    batch: { type: 'string', default: '8' },
    'sequence-length': { type: 'string', default: '128' },
    steps: { type: 'string', default: '6' },
  },
})
const sizes = { batch: Number(values.batch), sequenceLength: Number(values['sequence-length']) }
const steps = Number(values.steps)
const PAGE = 4096
const dtype = hasFastBfloat16() ? 'bfloat16' : 'float32'

/** Milliseconds that making one batch takes, from token shards in files. */
async function batchMilliseconds(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-step-'))
  try {
    const text = Array.from({ length: 200_000 }, (_, i) => `word${(i * 7919) % 4093}`).join(' ')
    writeFileSync(join(folder, 'text.txt'), text)
    const outDir = join(folder, 'tokens')
    await prepareTokens({
      sources: join(folder, 'text.txt'),
      tokenizer: await trainByteLevelBpe([text], { vocabSize: 512 }),
      outDir,
    })
    const loader = createLoader({ datasets: [{ shards: await TokenShards.open(outDir, 'train') }], ...sizes, seed: 1 })
    return summarise(Array.from({ length: 200 }, (_, step) => timed(() => loader.slotAt(step, 0, 1)))).median
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function timed(work: () => unknown): number {
  const start = performance.now()
  work()
  return performance.now() - start
}

/** Medians over warm steps of the preset with these sizes. */
async function stepOf(batch: number, sequenceLength: number) {
  const step = new TrainStep({ config: configOf(values.preset, sequenceLength), batch, sequenceLength, dtype })
  for (let i = 0; i < 3; i++) await step.seconds()
  calls.clear()
  const faultsBefore = process.resourceUsage().minorPageFault
  const seconds: number[] = []
  for (let i = 0; i < steps; i++) seconds.push(await step.seconds())
  const faults = (process.resourceUsage().minorPageFault - faultsBefore) / steps
  const total = [...calls.values()].reduce((sum, count) => sum + count, 0) / steps
  const byName = [...calls].map(([name, count]) => [name, count / steps] as const).sort((a, b) => b[1] - a[1])
  return { milliseconds: 1000 * summarise(seconds).median, faults, calls: total, byName }
}

const whole = await stepOf(sizes.batch, sizes.sequenceLength)
const one = await stepOf(1, 1)
const batch = await batchMilliseconds()
const state = `${values.preset}, ${sizes.batch} × ${sizes.sequenceLength} tokens, ${dtype}`
console.log(state)
printTable(['a step calls', 'times'], whole.byName)
printTable(
  ['of a step', ''],
  [
    ['milliseconds', whole.milliseconds],
    ['the same of one token, ms', one.milliseconds],
    ['making its batch, ms', batch],
    ['operators called by the program', whole.calls],
    [`page faults once warm (${short((whole.faults * PAGE) / 2 ** 20)} MiB)`, whole.faults],
  ],
)
writeResult('step', { state, whole, one, batch }, [
  { what: `operator calls in a step of ${state}`, unit: 'calls', hearth: whole.calls },
  { what: 'memory asked of the system in a warm step', unit: 'MiB', hearth: (whole.faults * PAGE) / 2 ** 20 },
  { what: 'making a batch', unit: '% of a step', hearth: (100 * batch) / whole.milliseconds },
])
