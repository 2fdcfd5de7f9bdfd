// A curve of any number of points as a few hundred buckets that lose no spike: each has its mean, least and largest value.
import type { Columns, Metric } from './metric-columns.js'

/** One bucket an entry; null where it has no value (JSON has no NaN). */
export interface Curve {
  step: number[]
  mean: (number | null)[]
  least: (number | null)[]
  largest: (number | null)[]
  /** Points in the range, before. */
  points: number
}

/** Index of the first step that is not below `step`. */
function indexOf(steps: Float64Array, step: number): number {
  let [low, high] = [0, steps.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (steps[middle]! < step) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * @param from first step of the range
 * @param to last step of it
 */
export function downsample(
  columns: Columns,
  metric: Metric,
  { from = 0, to = Infinity, buckets }: { from?: number | undefined; to?: number | undefined; buckets: number },
): Curve {
  const { step: steps } = columns
  const start = indexOf(steps, from)
  const end = to === Infinity ? steps.length : indexOf(steps, to + 1)
  const chosen = withValues(columns[metric].subarray(start, end), steps.subarray(start, end))
  const { length } = chosen.steps
  const curve: Curve = { step: [], mean: [], least: [], largest: [], points: length }
  const count = Math.min(buckets, length)
  for (let bucket = 0; bucket < count; bucket++) {
    const [first, after] = [Math.floor((bucket * length) / count), Math.floor(((bucket + 1) * length) / count)]
    const { mean, least, largest } = summaryOf(chosen.values, first, after)
    curve.step.push(chosen.steps[after - 1]!)
    curve.mean.push(mean)
    curve.least.push(least)
    curve.largest.push(largest)
  }
  return curve
}

function summaryOf(values: Float64Array, first: number, after: number) {
  let sum = 0
  let least = Infinity
  let largest = -Infinity
  for (let i = first; i < after; i++) {
    const value = values[i]!
    sum += value
    if (value < least) least = value
    if (value > largest) largest = value
  }
  return { mean: sum / (after - first), least, largest }
}

/** Without the steps that have no value: held-out losses are measured seldom. Mostly there are none to leave out. */
function withValues(values: Float64Array, steps: Float64Array): { values: Float64Array; steps: Float64Array } {
  if (areAllFinite(values)) return { values, steps }
  const present = steps.map((_, i) => (Number.isFinite(values[i]) ? i : -1)).filter((i) => i >= 0)
  return { values: present.map((i) => values[i]!), steps: present.map((i) => steps[i]!) }
}

function areAllFinite(values: Float64Array): boolean {
  for (const value of values) if (!Number.isFinite(value)) return false
  return true
}
