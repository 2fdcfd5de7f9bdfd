// What breakdowns take of a run, in closed form: how often to save, and which share of the time is work that counts.
// Beside it stands a simulation (simulate.ts) that knows nothing of these formulas.

/** How a job breaks and comes back, in seconds. */
export interface Breakdowns {
  /** Mean time between two breakdowns of the whole job. */
  meanTime: number
  /** Training waits this long for each checkpoint. */
  stall: number
  /** From a breakdown until training goes on: noticing, replacing, loading. */
  restart: number
}

const DAY = 86_400

/** Seconds between breakdowns of a job on `machines`, each of which breaks `failures` times in 1000 days. */
export const meanTimeBetween = (machines: number, failures: number): number =>
  failures === 0 ? Infinity : (1000 * DAY) / (failures * machines)

/** Young's interval between checkpoints, sqrt(2 s M) (Young 1974). */
export const youngInterval = ({ meanTime, stall }: Breakdowns): number => Math.sqrt(2 * stall * meanTime)

/**
 * Share of the time that is work that counts, when a checkpoint is made after every `interval` seconds of work:
 * τ / (M e^(R/M) (e^((τ+s)/M) - 1)), for breakdowns that are as likely at any time (Daly 2006, equation 20).
 */
export function goodput(interval: number, { meanTime, stall, restart }: Breakdowns): number {
  if (meanTime === Infinity) return interval / (interval + stall)
  return interval / (meanTime * Math.exp(restart / meanTime) * Math.expm1((interval + stall) / meanTime))
}

/** The interval with the most goodput: a golden-section search around Young's. */
export function bestInterval(breakdowns: Breakdowns): number {
  const { meanTime, stall } = breakdowns
  if (meanTime === Infinity) return Infinity
  const golden = (Math.sqrt(5) - 1) / 2
  let [low, high] = [Math.log(Math.max(1e-6, stall / 100)), Math.log(meanTime * 10)]
  for (let i = 0; i < 100; i++) {
    const [left, right] = [high - golden * (high - low), low + golden * (high - low)]
    if (goodput(Math.exp(left), breakdowns) < goodput(Math.exp(right), breakdowns)) low = left
    else high = right
  }
  return Math.exp((low + high) / 2)
}
