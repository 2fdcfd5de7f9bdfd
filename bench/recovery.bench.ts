// How soon a run is back at a committed step when a worker is killed, and how long a durable checkpoint makes it wait, by
// the size of its state. The redone step is in the first figure; an undisturbed one stands beside it.
//   npm run bench -- recovery [--presets spark,gpt2-124m] [--workers 1] [--steps 12] [--kills 3]
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { resolveConfig, startRun, type RunEvent } from 'hearth/train'
import { printTable, short, summarise, writeResult } from './measure.js'

const { values } = parseArgs({
  options: {
    presets: { type: 'string', default: 'spark' },
    workers: { type: 'string', default: '1' },
    steps: { type: 'string', default: '16' },
    kills: { type: 'string', default: '3' },
    length: { type: 'string', default: '32' },
  },
})
const folder = mkdtempSync(join(tmpdir(), 'hearth-recovery-'))
const text = join(folder, 'text.txt')
writeFileSync(text, Array.from({ length: 50_000 }, (_, i) => (i * 7919).toString(36)).join(' '))
const BETWEEN_KILLS = 3
const workers = Number(values.workers)

const configOf = (preset: string) =>
  resolveConfig({
    ...{ name: 'recovery', steps: Number(values.steps), batch: 2, slots: 2, sequenceLength: Number(values.length) },
    dtype: 'float32',
    model: { preset },
    tokenizer: { vocabularySize: 4096 },
    data: { sources: [{ path: text }], heldOutFraction: 0 },
    optimizer: { learningRate: 1e-4 },
    schedule: { warmupSteps: 1 },
    every: { log: 1000, evaluate: 1_000_000, checkpoint: 5 },
  })

/** One run whose first worker is killed again and again; all in seconds. */
async function measure(preset: string) {
  const [undisturbed, recovered, pauses]: number[][] = [[], [], []]
  let [pid, last, killedAt, kills, copying] = [0, 0, 0, 0, false]
  const onStep = (number: number, seconds: number) => {
    const now = performance.now()
    if (killedAt > 0) recovered!.push((now - killedAt) / 1000)
    else if (number > 2) undisturbed!.push(seconds)
    if (copying && last > 0 && killedAt === 0) pauses!.push((now - last) / 1000 - seconds)
    ;[last, killedAt, copying] = [now, 0, false]
    if (number % BETWEEN_KILLS !== 0 || kills >= Number(values.kills)) return
    kills++
    setTimeout(() => {
      killedAt = performance.now()
      process.kill(pid, 'SIGKILL')
    }, 10)
  }
  const report = (event: RunEvent) => {
    if (event.kind === 'phase' && event.phase === 'checkpoint') copying = true
    if (event.kind === 'trouble' && event.event.kind === 'worker-started' && event.event.worker === 0)
      pid = event.event.pid
    if (event.kind === 'step') onStep(event.step.number, event.step.seconds)
  }
  const dir = join(folder, preset)
  await startRun(configOf(preset), { dir, report, workers })
  rmSync(dir, { recursive: true })
  return { undisturbed: summarise(undisturbed!), recovered: summarise(recovered!), pauses: summarise(pauses!) }
}

try {
  const found = []
  for (const preset of values.presets.split(',')) found.push({ preset, ...(await measure(preset)) })
  printTable(
    [`${workers} workers`, 'step s', 'killed: next step after s', 'slowest', 'pause of a checkpoint ms', 'longest'],
    found.map(({ preset, undisturbed, recovered, pauses }) => [
      preset,
      ...[undisturbed.median, recovered.median, recovered.high].map(short),
      ...[pauses.median, pauses.high].map((seconds) => (1000 * seconds).toFixed(1)),
    ]),
  )
  writeResult('recovery', { workers, found })
} finally {
  rmSync(folder, { recursive: true, force: true })
}
