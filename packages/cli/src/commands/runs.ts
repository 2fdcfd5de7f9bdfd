// `hearth runs`: the runs there are, and what is known of one.
import type { RunSummary, RunTrouble } from 'hearth/train'
import { defineCommand } from '../command.js'
import { UsageError } from '../failure.js'
import { formatBytes, formatCount, formatDuration } from '../format.js'
import { locateRun, RUNS_FOLDER } from '../locate.js'
import { table } from '../table.js'
import type { Terminal } from '../terminal.js'

export const runs = defineCommand({
  name: 'runs',
  summary: 'list the runs, or show one',
  description: [
    'Lists the runs of a folder, the last to change first: what state each is in, how far it came and what it measured. `hearth runs show RUN` shows one: its configuration, its last measurements and its checkpoints.',
  ],
  arguments: {
    action: { description: 'list (when it is not given) or show', choices: ['list', 'show'] },
    run: { description: 'folder of a run, or its name in ./runs (for show)' },
  },
  options: {
    runs: { kind: 'text', value: 'DIR', default: RUNS_FOLDER, description: 'folder that holds the runs' },
    json: { kind: 'flag', description: 'print the answer as JSON' },
  },
  examples: [
    { line: 'hearth runs', does: 'What was trained here?' },
    { line: 'hearth runs show quickstart', does: 'Everything about one run' },
  ],
  async run({ arguments: { action, run }, options: { runs: folder, json }, terminal }) {
    if (action === 'show') {
      if (run === undefined) throw new UsageError(['hearth runs show needs a RUN'], 'runs')
      await show(locateRun(run, folder), json, terminal)
      return
    }
    if (run !== undefined) throw new UsageError([`to show a run: hearth runs show ${run}`], 'runs')
    const { listRuns } = await import('hearth/train')
    const found = listRuns(folder)
    if (json) terminal.json(found)
    else if (found.length === 0)
      terminal.print(`There are no runs in ${folder}. Make one: hearth quickstart, or hearth train DATA...`)
    else terminal.print(table(found.map(rowOf), ['run', 'state', 'steps', 'loss', 'held-out', 'tok/s', 'last change']))
  },
})

function rowOf({ name, state, step, of, loss, heldOutLoss, tokensPerSecond, updatedAt }: RunSummary): string[] {
  const steps = of === undefined ? String(step) : `${step}/${of}`
  const speed = tokensPerSecond === undefined ? '' : formatCount(tokensPerSecond)
  return [name, state, steps, loss?.toFixed(3) ?? '', heldOutLoss?.toFixed(3) ?? '', speed, localTime(updatedAt)]
}

/** `2026-01-31 14:05`, in the clock of the person. */
function localTime(iso: string): string {
  const time = new Date(iso)
  const two = (value: number) => String(value).padStart(2, '0')
  const date = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join('-')
  return `${date} ${two(time.getHours())}:${two(time.getMinutes())}`
}

async function show(folder: string, json: boolean, terminal: Terminal): Promise<void> {
  const { readEvents, readLastMetrics, readRun, runPaths } = await import('hearth/train')
  const { listCheckpoints, realStorage } = await import('hearth/checkpoint')
  const record = readRun(folder)
  const paths = runPaths(folder)
  const last = readLastMetrics(paths.metrics).at(-1)
  const checkpoints = await listCheckpoints(realStorage, paths.checkpoints)
  const events = readEvents(paths.events)
  if (json) {
    terminal.json({ folder, ...record, last, checkpoints, events })
    return
  }
  const { bold } = terminal.colors
  terminal.print(bold(folder))
  terminal.print(table([['started', localTime(record.createdAt)], ...Object.entries(record.versions)]))
  terminal.print(bold('\nConfiguration'))
  terminal.print(table(flattened(record.config)))
  for (const { step, at, to } of record.changes ?? []) {
    terminal.print(bold(`\nChanged after step ${step}, ${localTime(at)}`))
    terminal.print(table(Object.entries(to).map(([path, value]) => [path, JSON.stringify(value)])))
  }
  if (last) {
    terminal.print(bold(`\nAt step ${last.step}`))
    const shown = Object.entries(last).filter(([name]) => name !== 'step')
    terminal.print(
      table(shown.map(([name, value]) => [name, name === 'memoryBytes' ? formatBytes(Number(value)) : String(value)])),
    )
  }
  if (events.length > 0) {
    terminal.print(bold('\nWhat happened'))
    terminal.print(table(troublesOf(events)))
  }
  terminal.print(bold('\nCheckpoints'))
  terminal.print(
    checkpoints.length === 0 ? '  none yet' : table(checkpoints.map(({ step, path }) => [`step ${step}`, path])),
  )
}

/** How often workers were lost and why, what it cost, and the goodput. */
function troublesOf(events: readonly RunTrouble[]): string[][] {
  const of = <Kind extends RunTrouble['kind']>(kind: Kind) =>
    events.filter((event): event is Extract<RunTrouble, { kind: Kind }> => event.kind === kind)
  const reasons = new Map<string, number>()
  for (const { reason } of of('worker-lost')) reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
  const recovered = of('recovered')
  const cost = recovered.reduce((sum, { lostSeconds }) => sum + lostSeconds, 0)
  const refused = of('refused')
  const leftOut = refused.filter(({ action }) => action === 'skip').map(({ batch }) => batch)
  const ended = refused.find(({ action }) => action === 'give up')
  const goodput = of('goodput').at(-1)
  const lost = new Set(
    of('group-broke').flatMap(({ suspects, generation }) =>
      suspects.map((host) => `${host} (generation ${generation})`),
    ),
  )
  const fetched = of('state-fetched').length
  const hosts = of('group-formed').at(-1)?.hosts
  return [
    ...[...reasons].map(([reason, times]) => [`lost: ${reason}`, `${times} times`]),
    ...(recovered.length === 0 ? [] : [['steps disturbed', `${recovered.length}, at a cost of ${cost.toFixed(1)} s`]]),
    ...(refused.length === 0
      ? []
      : [['attempts that did not count', `${refused.length}; the last: ${refused.at(-1)!.reason}`]]),
    ...(leftOut.length === 0 ? [] : [['batches left out', leftOut.join(', ')]]),
    ...of('rewound').map(({ to, skipped: [first, next], bad }) => [
      `went back to step ${to}`,
      `batches ${first} to ${next - 1} left out${bad === undefined ? '' : `; the checkpoint of step ${bad} is bad`}`,
    ]),
    ...(ended ? [['ended', ended.reason]] : []),
    ...(hosts ? [['hosts', hosts.join(', ')]] : []),
    ...(lost.size > 0 ? [['hosts lost', [...lost].join(', ')]] : []),
    ...(fetched > 0 ? [['states taken over from another host', String(fetched)]] : []),
    ...(goodput ? [['goodput', `${(100 * goodput.goodput).toFixed(1)} % of ${formatDuration(goodput.seconds)}`]] : []),
  ]
}

/** Dotted path and value of every field, as `--set` takes them. */
function flattened(value: unknown, path = ''): string[][] {
  if (typeof value !== 'object' || value === null || Object.keys(value).length === 0)
    return [[path, JSON.stringify(value)]]
  return Object.entries(value).flatMap(([key, inner]) => flattened(inner, path === '' ? key : `${path}.${key}`))
}
