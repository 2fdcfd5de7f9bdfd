// A job as it happens, event by event: work, checkpoints, breakdowns at random times, restarts that break again. The spread
// of many histories is what a formula cannot say. Every history is a function of (seed, its number).
import { philox, uniform } from '../data/index.js'
import type { Breakdowns } from './goodput.js'

export interface SimulatedJob {
  /** Seconds of work that counts. */
  work: number
  /** Seconds of work between checkpoints. */
  interval: number
  breakdowns: Breakdowns
  seed: number
  /** A history that lasts longer than this many seconds is given up. @default a thousand times the work */
  patience?: number
}

/** One history. */
export interface History {
  /** Seconds from the start to the end, Infinity when it was given up. */
  seconds: number
  failures: number
  /** Seconds of work that were done and lost. */
  lost: number
  /** Work that counts, over the time. */
  goodput: number
}

/** Times between breakdowns: exponential, the n-th a pure function of (seed, history, n). */
function failureTimes(seed: number, history: number, meanTime: number): () => number {
  let drawn = 0
  return () => {
    const [a, b] = philox([drawn++, history, 0, 0], [seed >>> 0, Math.floor(seed / 2 ** 32)])
    return -meanTime * Math.log1p(-uniform(a, b))
  }
}

/** @param number which of the histories of this seed */
export function simulateHistory(job: SimulatedJob, number: number): History {
  const { work, interval, breakdowns, patience = 1000 * work } = job
  const { stall, restart, meanTime } = breakdowns
  const next = failureTimes(job.seed, number, meanTime)
  let [clock, saved, lost, failures] = [0, 0, 0, 0]
  let failure = next()
  while (saved < work) {
    const piece = Math.min(interval, work - saved)
    // The end of the work is saved as any checkpoint is.
    const end = clock + piece + stall
    if (end <= failure) {
      clock = end
      saved += piece
      continue
    }
    lost += Math.min(piece, failure - clock)
    ;({ clock, failure, failures } = restarted(failure, restart, next, failures))
    if (clock > patience) return { seconds: Infinity, failures, lost, goodput: saved / clock }
  }
  return { seconds: clock, failures, lost, goodput: work / clock }
}

/** A restart that is broken off begins again; after so many times it is given up. */
const MOST_RESTARTS = 100_000

function restarted(failure: number, restart: number, next: () => number, failures: number) {
  let clock = failure
  for (let count = 1; count <= MOST_RESTARTS; count++) {
    const until = next()
    if (until >= restart) return { clock: clock + restart, failure: clock + until, failures: failures + count }
    clock += until
  }
  return { clock: Infinity, failure: Infinity, failures: failures + MOST_RESTARTS }
}

/** How the histories of a job end. */
export interface Spread {
  histories: number
  /** Given up as endless. */
  unfinished: number
  /** Seconds; by these shares of the histories the job is done. */
  seconds: { p5: number; p50: number; p95: number; mean: number }
  failures: { p5: number; p50: number; p95: number; mean: number }
  goodput: number
}

/**
 * Many histories of one job.
 * @example
 * simulate({ work: 864_000, interval: 1800, breakdowns: { meanTime: 86_400, stall: 60, restart: 1800 }, seed: 1 }, 1000)
 */
export function simulate(job: SimulatedJob, histories: number): Spread {
  const all = Array.from({ length: histories }, (_, number) => simulateHistory(job, number))
  const total = all.reduce((sum, { seconds }) => sum + seconds, 0)
  return {
    histories,
    unfinished: all.filter(({ seconds }) => seconds === Infinity).length,
    seconds: quantiles(all.map(({ seconds }) => seconds)),
    failures: quantiles(all.map(({ failures }) => failures)),
    goodput: (job.work * histories) / total,
  }
}

function quantiles(values: number[]) {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!
  return {
    p5: at(0.05),
    p50: at(0.5),
    p95: at(0.95),
    mean: values.reduce((sum, value) => sum + value, 0) / values.length,
  }
}
