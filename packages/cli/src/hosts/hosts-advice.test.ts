import { describe, expect, test } from 'vitest'
import type { ExaminedHost, ExaminedLink, HostsExamination } from './examine.js'
import { hostProblems } from './hosts-advice.js'
import type { Facts } from './probe.js'

const GIB = 2 ** 30
const facts: Facts = {
  ...{ hearth: '0.1.0', libtorch: '2.6.0', node: 'v22.1.0', configuration: 'run 1' },
  ...{ memory: 64 * GIB, sharedMemory: 32 * GIB, disk: 100 * GIB, problems: [] },
}
const host = (name: string, more: Partial<ExaminedHost> = {}): ExaminedHost => ({
  ...{ host: { name, address: name }, facts, clock: { seconds: 0.002, within: 0.001 }, storage: '' },
  ...more,
})
const link = (from: string, to: string, bytesPerSecond = 1e9, latencySeconds = 1e-4): ExaminedLink => ({
  ...{ from, to },
  link: { bytesPerSecond, latencySeconds },
})

const examination = (hosts: ExaminedHost[], links: ExaminedLink[] = []): HostsExamination => ({
  folder: '/runs/mine',
  ...{ hosts, links },
})
const problemsOf = (...args: Parameters<typeof examination>) =>
  hostProblems(examination(...args)).map(({ problem }) => problem)

const ALL = ['a', 'b', 'c']
const LINKS = ALL.flatMap((from) => ALL.filter((to) => to !== from).map((to) => link(from, to)))

describe('hosts of a run', () => {
  test('of one kind, with sound links, have no problem', () => {
    expect(
      problemsOf(
        ALL.map((name) => host(name)),
        LINKS,
      ),
    ).toEqual([])
  })

  test('have all their problems said at once', () => {
    const hosts = [
      host('a', { clock: { seconds: -70, within: 0.1 } }),
      host('b', { storage: 'ENOENT: no such file', facts: { ...facts, sharedMemory: 64 * 2 ** 20 } }),
      { host: { name: 'c', address: 'c' }, unreachable: 'ssh: connect to host c port 22: No route to host' },
      host('d', { facts: { ...facts, problems: ['meeting: listen EADDRINUSE: address already in use d:7433'] } }),
    ]
    expect(problemsOf(hosts, [{ from: 'a', to: 'b', broken: 'port 7433 to meet on: no answer within 5 s' }])).toEqual([
      'a: its clock is 70.0 s behind',
      'b does not share /runs/mine: ENOENT: no such file',
      'b has 64 MiB of shared memory free',
      'c cannot be reached: ssh: connect to host c port 22: No route to host',
      'd: meeting: listen EADDRINUSE: address already in use d:7433',
      'a does not reach b: port 7433 to meet on: no answer within 5 s',
    ])
  })

  test('are told apart by versions and by the configuration that they see', () => {
    const other = { ...facts, libtorch: '1.13.0', configuration: 'run 2' }
    expect(problemsOf([host('a'), host('b', { facts: other }), host('c')])).toEqual([
      'b has libtorch 1.13.0, others 2.6.0',
      'b has the configuration run 2, others run 1',
    ])
  })

  test('have a link named that is much slower than the others, or far away', () => {
    const links = [...LINKS.slice(1), link('a', 'b', 1e8, 0.04)]
    expect(
      problemsOf(
        ALL.map((name) => host(name)),
        links,
      ),
    ).toEqual(['a → b carries 100 MB/s, half of the links 1000 MB/s or more', 'a → b takes 40 ms there and back'])
  })

  test('do not have a clock called wrong that nobody could read so exactly', () => {
    expect(problemsOf([host('a', { clock: { seconds: 2, within: 1.5 } })])).toEqual([])
  })
})
