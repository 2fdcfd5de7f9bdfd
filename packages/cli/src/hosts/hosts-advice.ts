// What of an examination of hosts is bad, all of it at once, with what helps.
import type { ExaminedHost, ExaminedLink, HostsExamination } from './examine.js'

export interface HostProblem {
  problem: string
  remedy: string
}

const CLOCK_SECONDS = 1
const SHARE_OF_MEDIAN = 0.25
const LATENCY_SECONDS = 0.02
const LEAST = { memory: 2 ** 30, 'shared memory': 2 ** 28, disk: 2 ** 30 } as const

/** @returns nothing where a run may begin */
export function hostProblems({ hosts, links, folder }: HostsExamination): HostProblem[] {
  return [
    ...hosts.flatMap((host) => aboutHost(host, folder)),
    ...differences(hosts),
    ...links.flatMap(aboutLink),
    ...slow(links),
  ]
}

function aboutHost(
  { host: { name }, unreachable, facts, clock, storage }: ExaminedHost,
  folder: string,
): HostProblem[] {
  if (facts === undefined || clock === undefined)
    return [
      {
        problem: `${name} cannot be reached: ${unreachable ?? 'no answer'}`,
        remedy: `ssh ${name} must work without a password, with the same Hearth in the same folder there; or say how: --via`,
      },
    ]
  const problems = facts.problems.map((problem) => ({ problem: `${name}: ${problem}`, remedy: remedyFor(problem) }))
  if (Math.abs(clock.seconds) - clock.within > CLOCK_SECONDS)
    problems.push({
      problem: `${name}: its clock is ${Math.abs(clock.seconds).toFixed(1)} s ${clock.seconds > 0 ? 'ahead' : 'behind'}`,
      remedy: 'keep the clocks together (chrony, systemd-timesyncd): events of the run are ordered by them',
    })
  if (storage)
    problems.push({
      problem: `${name} does not share ${folder}: ${storage}`,
      remedy: 'mount the same storage at the same path on all hosts, writable by the same user',
    })
  const free = { memory: facts.memory, 'shared memory': facts.sharedMemory, disk: facts.disk }
  for (const [what, least] of Object.entries(LEAST) as [keyof typeof LEAST, number][])
    if ((free[what] ?? Infinity) < least)
      problems.push({
        problem: `${name} has ${((free[what] ?? 0) / 2 ** 20).toFixed(0)} MiB of ${what} free`,
        remedy: `free some; a run wants at least ${least / 2 ** 20} MiB, and 45 bytes a parameter of shared memory`,
      })
  return problems
}

const REMEDIES: [RegExp, string][] = [
  [/EADDRINUSE/, 'another program has the port, or a run is under way: end it, or choose --port'],
  [/EADDRNOTAVAIL|ENOTFOUND|EAI_AGAIN/, 'give the address that the others reach it by: --hosts name=address'],
  [/^etcd/, 'let the host reach the endpoints of --etcd'],
]
const remedyFor = (problem: string) =>
  REMEDIES.find(([pattern]) => pattern.test(problem))?.[1] ?? 'the host must see the run as this machine does'

/** Hosts of another kind than most. */
function differences(hosts: readonly ExaminedHost[]): HostProblem[] {
  return (['hearth', 'libtorch', 'node', 'configuration'] as const).flatMap((what) => {
    const known = hosts.flatMap(({ host, facts }) => (facts?.[what] === undefined ? [] : [[host.name, facts[what]]]))
    const values = known.map(([, value]) => value!)
    const often = (value: string) => values.filter((each) => each === value).length
    const usual = values.toSorted((a, b) => often(b) - often(a))[0]
    return known
      .filter(([, value]) => value !== usual)
      .map(([name, value]) => ({
        problem: `${name!} has ${NAMES[what]} ${value!}, others ${usual!}`,
        remedy: what === 'configuration' ? 'all must see the same folder of the run' : 'install the same on all hosts',
      }))
  })
}
const NAMES = { hearth: 'Hearth', libtorch: 'libtorch', node: 'Node', configuration: 'the configuration' } as const

const aboutLink = ({ from, to, broken }: ExaminedLink): HostProblem[] =>
  broken === undefined
    ? []
    : [
        {
          problem: `${from} does not reach ${to}: ${broken}`,
          remedy: 'let the hosts open connections to each other on all ports',
        },
      ]

/** Links that all others would wait for. */
function slow(links: readonly ExaminedLink[]): HostProblem[] {
  const good = links.flatMap(({ link, ...ends }) => (link ? [{ ...ends, ...link }] : []))
  const flows = good.map(({ bytesPerSecond }) => bytesPerSecond).sort((a, b) => a - b)
  const median = flows[flows.length >> 1] ?? 0
  return good.flatMap(({ from, to, bytesPerSecond, latencySeconds }) => [
    ...(bytesPerSecond < SHARE_OF_MEDIAN * median
      ? [
          {
            problem: `${from} → ${to} carries ${mega(bytesPerSecond)} MB/s, half of the links ${mega(median)} MB/s or more`,
            remedy:
              'look at its cable, its port of the switch, and what else uses it: every step waits for the slowest',
          },
        ]
      : []),
    ...(latencySeconds > LATENCY_SECONDS
      ? [
          {
            problem: `${from} → ${to} takes ${(latencySeconds * 1000).toFixed(0)} ms there and back`,
            remedy: 'choose hosts near each other: a step has some dozens of such waits',
          },
        ]
      : []),
  ])
}

const mega = (bytes: number) => (bytes / 1e6).toFixed(0)
