// `hearth drill`: the fire drill of a machine, before it is trusted with a month of training.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CrewReport, DrillReport, FaultKind, Quantiles } from 'hearth/train'
import { defineCommand } from '../command.js'
import { CommandError, UsageError } from '../failure.js'
import { formatDuration } from '../format.js'
import { table } from '../table.js'
import type { Terminal } from '../terminal.js'

export const drill = defineCommand({
  name: 'drill',
  summary: 'have faults happen to a small run, and see that its bits stay the same',
  description: [
    'Trains a small model on this machine while its workers are killed, crash, stand still, are late and give numbers that are none, their supervisor is killed, checkpoints fail and bits of the state flip, by a schedule that the seed decides, and once undisturbed, without workers. Then it compares weights and optimizer state bit for bit, and says for each kind of fault how soon it was noticed and when the next step was committed.',
    'It uses the supervisor, workers and state file of every run with --workers. Nothing outside a temporary folder is touched.',
  ],
  arguments: {},
  options: {
    workers: {
      ...{ kind: 'text', value: 'N,M', default: '2' },
      description: 'worker processes: 1, 2, 4, or several of these, a run with faults for each',
    },
    faults: { kind: 'integer', value: 'N', default: 30, minimum: 1, maximum: 100_000, description: 'how many' },
    seed: { kind: 'integer', value: 'N', default: 1, minimum: 0, description: 'decides which faults happen, and when' },
    json: { kind: 'flag', description: 'print the report as JSON' },
  },
  examples: [
    { line: 'hearth drill', does: 'Thirty faults, in about a minute' },
    { line: 'hearth drill --faults 1000 --workers 1,2,4', does: 'A long one, with several counts of workers' },
  ],
  async run({ options, terminal }) {
    const { faults, seed, json } = options
    const workers = parseCounts(options.workers)
    const { drill: runDrill, FAULT_MEANINGS } = await import('hearth/train')
    const { StatusLine } = await import('../status-line.js')
    const status = terminal.interactive ? new StatusLine(process.stderr) : undefined
    const folder = await mkdtemp(join(tmpdir(), 'hearth-drill-'))
    try {
      terminal.note(`Training with ${faults} faults and ${workers.join(', then ')} workers, then undisturbed …`)
      const onProgress = (had: number, of: number) => status?.set(`Faults  ${had}/${of}`)
      const report = await runDrill({ workers, faults, seed, folder, onProgress })
      status?.clear()
      if (json) terminal.json(report)
      else printReport(report, terminal, FAULT_MEANINGS)
      if (!report.sameBits) throw new CommandError('the weights differ from those of the undisturbed run', REMEDY)
    } finally {
      status?.clear()
      await rm(folder, { recursive: true, force: true })
    }
  },
})

type Meanings = Readonly<Record<FaultKind, string>>

const REMEDY = 'do not trust this machine with a long run: test its memory, and report the seed if it is sound'

/** @throws UsageError */
function parseCounts(text: string): number[] {
  const counts = text.split(',').map(Number)
  const isWrong = counts.some((count, i) => ![1, 2, 4].includes(count) || counts.indexOf(count) !== i)
  if (isWrong) throw new UsageError([`--workers takes 1, 2 and 4, as 1,2,4; got ${JSON.stringify(text)}`], 'drill')
  return counts
}

function printReport({ crews }: DrillReport, terminal: Terminal, meanings: Meanings): void {
  const rows = crews.flatMap(({ workers, rows }) =>
    rows.map(({ kind, count, noticedAfter, recoveredAfter }) => [
      ...[String(workers), meanings[kind], String(count)],
      ...quantiles(noticedAfter),
      ...quantiles(recoveredAfter),
    ]),
  )
  const times = ['noticed p50', 'p99', 'max', 'recovered p50', 'p99', 'max']
  terminal.print(table(rows, ['workers', 'fault', 'times', ...times]))
  terminal.print('')
  const head = ['workers', 'faults', 'steps', 'steps lost', 'time', 'goodput', 'same bits']
  terminal.print(
    table(
      crews.map((crew) => figuresOf(crew, terminal)),
      head,
    ),
  )
}

function figuresOf(crew: CrewReport, terminal: Terminal): string[] {
  const { red, green } = terminal.colors
  return [
    ...[crew.workers, crew.had, crew.steps, crew.stepsLost].map(String),
    ...[formatDuration(crew.seconds), percent(crew.goodput), crew.sameBits ? green('yes') : red('NO')],
  ]
}

const percent = (share: number) => `${(100 * share).toFixed(0)} %`

/** Seconds; a fault that nobody has to notice has none. */
function quantiles(values: Quantiles | undefined): string[] {
  if (values === undefined) return ['', '', '']
  return [values.p50, values.p99, values.max].map((seconds) => `${seconds.toFixed(2)} s`)
}
