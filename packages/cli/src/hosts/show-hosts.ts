// `hearth doctor --hosts`: one table of all hosts, and below it everything that is wrong with them.
import { cwd } from 'node:process'
import { resolve } from 'node:path'
import { formatBytes } from '../format.js'
import { table } from '../table.js'
import type { Terminal } from '../terminal.js'
import type { ExaminedHost, ExaminedLink, HostsExamination } from './examine.js'
import { parseHosts } from './host-list.js'
import { hostProblems } from './hosts-advice.js'

export interface ExamineAsked {
  hosts: string
  via: string | undefined
  port: number
  etcd: string | undefined
  /** Its folder. */
  run: string | undefined
  json: boolean
}

const HEAD = [
  'host',
  'address',
  'Hearth',
  'libtorch',
  'clock',
  'memory',
  'shared memory',
  'disk',
  'storage',
  'slowest link',
  'longest way',
]

/** Examines the hosts and prints it; leaves 1 as the exit code where something is wrong. */
export async function examineOnHosts(asked: ExamineAsked, terminal: Terminal): Promise<void> {
  const { via, port, etcd, json } = asked
  const hosts = parseHosts(asked.hosts, 'doctor')
  const { examineHosts } = await import('./examine.js')
  const run = asked.run === undefined ? undefined : resolve(asked.run)
  const endpoints = etcd?.split(',') ?? []
  const onProgress = (what: string) => terminal.note(`${what[0]!.toUpperCase()}${what.slice(1)} …`)
  const found = await examineHosts({ hosts, via, port, etcd: endpoints, folder: run ?? cwd(), run, onProgress })
  const problems = hostProblems(found)
  if (problems.length > 0) terminal.exitCode = 1
  if (json) {
    terminal.json({ ...found, problems })
    return
  }
  print(found, terminal)
  const { red, green } = terminal.colors
  for (const { problem, remedy } of problems) terminal.print(`${red('problem:')} ${problem}\n  remedy: ${remedy}`)
  if (problems.length === 0) terminal.print(green(`Nothing is wrong. A run can begin on these ${hosts.length} hosts.`))
}

function print({ hosts, links, folder }: HostsExamination, terminal: Terminal): void {
  terminal.print(
    table(
      hosts.map((host) => rowOf(host, links)),
      HEAD,
    ),
  )
  terminal.print(`\n  storage: ${folder}\n`)
}

function rowOf(
  { host: { name, address }, facts, clock, storage }: ExaminedHost,
  links: readonly ExaminedLink[],
): string[] {
  if (facts === undefined || clock === undefined) return [name, address, 'not reached']
  const size = (bytes: number | undefined) => (bytes === undefined ? '' : formatBytes(bytes))
  const sign = clock.seconds < 0 ? '-' : '+'
  const offset = Math.abs(clock.seconds) <= clock.within ? 'together' : `${sign}${Math.abs(clock.seconds).toFixed(2)} s`
  return [
    ...[name, address, facts.hearth, facts.libtorch, offset],
    ...[size(facts.memory), size(facts.sharedMemory), size(facts.disk)],
    ...[storage ? 'not shared' : 'shared', ...worstOf(name, links)],
  ]
}

/** Of the ways from a host to all others. */
function worstOf(name: string, links: readonly ExaminedLink[]): string[] {
  const own = links.filter(({ from }) => from === name)
  const broken = own.find((link) => link.broken !== undefined)
  if (broken) return [`none to ${broken.to}`, '']
  const good = own.flatMap(({ to, link }) => (link ? [{ to, ...link }] : []))
  const flow = good.toSorted((a, b) => a.bytesPerSecond - b.bytesPerSecond)[0]
  const way = good.toSorted((a, b) => b.latencySeconds - a.latencySeconds)[0]
  if (flow === undefined || way === undefined) return ['', '']
  return [
    `${(flow.bytesPerSecond / 1e6).toFixed(0)} MB/s to ${flow.to}`,
    `${(way.latencySeconds * 1000).toFixed(2)} ms to ${way.to}`,
  ]
}
