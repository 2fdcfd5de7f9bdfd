// What supervision costs and what workers gain: steps of one run in this process, by one supervised worker, and by two,
// taking turns; the pause that a durable checkpoint makes; and the goodput while a worker is killed again and again.
//   npm run bench -- workers [--preset spark] [--steps 12] [--rounds 3] [--kill-every 15 --seconds 60]
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { resolveConfig, startRun, type RunEvent } from 'hearth/train'
import { printTable, short, summarise, writeResult } from './measure.js'

const { values } = parseArgs({
  options: {
    preset: { type: 'string', default: 'spark' },
    batch: { type: 'string', default: '8' },
    length: { type: 'string', default: '128' },
    steps: { type: 'string', default: '12' },
    rounds: { type: 'string', default: '3' },
    'kill-every': { type: 'string', default: '15' },
    seconds: { type: 'string', default: '60' },
  },
})
const folder = mkdtempSync(join(tmpdir(), 'hearth-workers-'))
const text = join(folder, 'text.txt')
writeFileSync(text, Array.from({ length: 200_000 }, (_, i) => (i * 7919).toString(36)).join(' '))
const SLOTS = 2
let runs = 0

interface Timing {
  /** Of each step. */
  seconds: number[]
  /** Between two steps, where a checkpoint began. */
  pauses: number[]
}

function configOf(steps: number, checkpoint: number) {
  return resolveConfig({
    ...{ name: 'bench', steps, batch: Number(values.batch), slots: SLOTS, sequenceLength: Number(values.length) },
    model: { preset: values.preset },
    tokenizer: { vocabularySize: 8192 },
    data: { sources: [{ path: text }], heldOutFraction: 0, folder: join(folder, 'tokens') },
    optimizer: { learningRate: 1e-4 },
    schedule: { warmupSteps: 1 },
    every: { log: 1000, evaluate: 1_000_000, checkpoint },
  })
}

/** Runs some steps; the first ones, in which memory is found and deadlines are learned, do not count. */
async function time(workers: number | undefined, steps: number, onEvent?: (event: RunEvent) => void): Promise<Timing> {
  const timing: Timing = { seconds: [], pauses: [] }
  let [last, copying] = [0, false]
  const report = (event: RunEvent) => {
    onEvent?.(event)
    if (event.kind === 'phase' && event.phase === 'checkpoint') copying = true
    if (event.kind !== 'step') return
    const now = performance.now() / 1000
    if (event.step.number > 3) timing.seconds.push(event.step.seconds)
    if (copying && last > 0) timing.pauses.push(now - last - event.step.seconds)
    copying = false
    last = now
  }
  const dir = join(folder, `run-${runs++}`)
  await startRun(configOf(steps, 5), { dir, report, ...(workers === undefined ? {} : { workers }) })
  rmSync(dir, { recursive: true })
  return timing
}

/** Kills a worker again and again; the share of the time that steps which count would have taken undisturbed. */
async function goodput(usual: number) {
  const every = Number(values['kill-every'])
  const steps = Math.ceil(Number(values.seconds) / usual)
  const pids = new Map<number, number>()
  let kills = 0
  const recovered: number[] = []
  let killedAt: number | undefined
  const timer = setInterval(() => {
    kills++
    killedAt = performance.now()
    process.kill(pids.get(kills % 2)!, 'SIGKILL')
  }, every * 1000)
  let result: Extract<RunEvent, { kind: 'trouble' }>['event'] | undefined
  await time(2, steps, (event) => {
    if (event.kind === 'step' && killedAt !== undefined) {
      recovered.push((performance.now() - killedAt) / 1000)
      killedAt = undefined
    }
    if (event.kind !== 'trouble') return
    if (event.event.kind === 'worker-started') pids.set(event.event.worker, event.event.pid)
    if (event.event.kind === 'goodput') result = event.event
  })
  clearInterval(timer)
  return {
    kills,
    every,
    recovered: summarise(recovered),
    ...(result?.kind === 'goodput' && { goodput: result.goodput }),
  }
}

try {
  const sides = { 'this process': undefined, 'one worker': 1, 'two workers': 2 }
  const names = Object.keys(sides) as (keyof typeof sides)[]
  const all = Object.fromEntries(names.map((name) => [name, { seconds: [], pauses: [] }])) as unknown as Record<
    (typeof names)[number],
    Timing
  >
  for (let round = 0; round < Number(values.rounds); round++)
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const { seconds, pauses } = await time(sides[name], Number(values.steps))
      all[name].seconds.push(...seconds)
      all[name].pauses.push(...pauses)
    }
  const tokens = Number(values.batch) * Number(values.length)
  const found = names.map((name) => {
    const { seconds, pauses } = all[name]
    return { name, seconds: summarise(seconds), pauses: pauses.length > 0 ? summarise(pauses) : undefined }
  })
  const base = found[0]!.seconds.median
  printTable(
    [
      `${values.preset}, ${values.batch} x ${values.length}`,
      'step s',
      'from',
      'to',
      'tok/s',
      'of the first',
      'pause ms',
    ],
    found.map(({ name, seconds: { median, low, high }, pauses }) => [
      name,
      ...[median, low, high].map(short),
      Math.round(tokens / median),
      short(base / median),
      pauses ? (1000 * pauses.median).toFixed(1) : '',
    ]),
  )
  const disturbed = Number(values['kill-every']) > 0 ? await goodput(found[2]!.seconds.median) : undefined
  if (disturbed)
    console.log(
      `killing a worker every ${disturbed.every} s: goodput ${(100 * (disturbed.goodput ?? 0)).toFixed(1)} %, ` +
        `${disturbed.kills} kills, next step after ${disturbed.recovered.median.toFixed(2)} s`,
    )
  const rate = (at: number) => tokens / found[at]!.seconds.median
  writeResult('workers', { tokens, found, disturbed }, [
    {
      what: 'one supervised worker against one process',
      unit: 'tokens/s',
      hearth: rate(1),
      peer: { name: 'unsupervised', value: rate(0) },
      goal: 'at least 0.99 x',
      met: rate(1) >= 0.99 * rate(0),
    },
    {
      what: 'two workers against one process with as many threads',
      unit: 'tokens/s',
      hearth: rate(2),
      peer: { name: 'one process', value: rate(0) },
      goal: 'at least 0.9 x',
      met: rate(2) >= 0.9 * rate(0),
    },
  ])
} finally {
  rmSync(folder, { recursive: true, force: true })
}
