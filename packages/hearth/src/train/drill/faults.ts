// The faults of a drill, drawn from its seed: which, to whom, after which step, and when within the next. Not here: how
// they happen (drill.ts).
import { hashCounters } from '../../data/index.js'

export const FAULT_KINDS = [
  'kill',
  'exit',
  'segfault',
  'stop',
  'block',
  'slow',
  'nan',
  'bit flip',
  'saver',
  'full disk',
  'kill all',
  'supervisor',
] as const
export type FaultKind = (typeof FAULT_KINDS)[number]

/** What each kind is, for people. */
export const FAULT_MEANINGS: Record<FaultKind, string> = {
  kill: 'a worker is killed (SIGKILL)',
  exit: 'a worker ends with an error code',
  segfault: 'a worker crashes (SIGSEGV)',
  stop: 'a worker stands still (SIGSTOP)',
  block: 'a worker’s event loop is blocked',
  slow: 'a worker is late',
  nan: 'a gradient has a number that is none',
  'bit flip': 'a bit of the state flips in memory',
  saver: 'the process that writes checkpoints is killed',
  'full disk': 'the disk is full at the next checkpoint',
  'kill all': 'all workers are killed at once',
  supervisor: 'the supervisor itself is killed',
}

export interface Fault {
  kind: FaultKind
  /** It happens during the step after so many. */
  afterStep: number
  /** Chooses the worker among those that are there. */
  choice: number
  /** Into the step. */
  delayMilliseconds: number
  /** Does not wait until the run has recovered from the one before it. */
  atOnce: boolean
}

/** Faults that only a deadline ends, or that a new process must mend, cost seconds each: they are drawn less often. */
const SHARES: Record<FaultKind, number> = {
  kill: 20,
  exit: 8,
  segfault: 8,
  stop: 3,
  block: 3,
  slow: 12,
  nan: 18,
  'bit flip': 14,
  saver: 8,
  'full disk': 6,
  'kill all': 3,
  supervisor: 2,
}

const STEPS_BETWEEN = 3
const LONGEST_DELAY = 30
/** One in so many. */
const AT_ONCE = 8

/** Every kind at least once, where there are enough faults for that. */
export function planFaults(count: number, seed: number): Fault[] {
  const drawn = Array.from({ length: count }, (_, i) => draw(hashCounters(seed, i, 0)))
  return drawn.map((kind, i) => ({
    kind: count >= FAULT_KINDS.length && i < FAULT_KINDS.length ? FAULT_KINDS[i]! : kind,
    afterStep: (i + 1) * STEPS_BETWEEN,
    choice: hashCounters(seed, i, 1),
    delayMilliseconds: hashCounters(seed, i, 2) % LONGEST_DELAY,
    atOnce: hashCounters(seed, i, 3) % AT_ONCE === 0,
  }))
}

/** Steps that a run needs to have all of them: others go on while one worker is replaced. */
export const stepsFor = (faults: number): number => (4 * faults + 4) * STEPS_BETWEEN

function draw(random: number): FaultKind {
  const total = Object.values(SHARES).reduce((sum, share) => sum + share, 0)
  let left = random % total
  for (const kind of FAULT_KINDS) {
    if (left < SHARES[kind]) return kind
    left -= SHARES[kind]
  }
  return 'kill'
}
