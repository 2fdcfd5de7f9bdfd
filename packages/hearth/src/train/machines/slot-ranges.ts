// How the gradient slots of a step are shared by machines: each has a subtree of the one fixed tree over all slots, cut as
// the tree over ranks is (sumInOrder), so that how many machines there are does not show in the bits.
import type { ConfigIssue } from '@hearth/torch'

export interface SlotRange {
  first: number
  count: number
}

const isPowerOfTwo = (count: number) => count > 0 && (count & (count - 1)) === 0

/** What keeps a run from being shared by that many machines with that many workers each. */
export function sharingIssues(slots: number, machines: number, workers: number): ConfigIssue[] {
  const issues: ConfigIssue[] = []
  if (!isPowerOfTwo(slots))
    issues.push({ path: 'slots', message: `${slots} gradient slots; several machines share a power of two of them` })
  else if (machines > slots)
    issues.push({ path: 'hosts', message: `${machines} machines cannot share ${slots} gradient slots; each needs one` })
  if (!isPowerOfTwo(workers) || workers > slots)
    issues.push({ path: 'workers', message: `${workers} a machine; choose a power of two up to slots, ${slots}` })
  return issues
}

/** The slots of each machine, by rank: as many as there are machines, which may be any number up to that of the slots. */
export function slotRanges(slots: number, machines: number, first = 0): SlotRange[] {
  if (machines === 1) return [{ first, count: slots }]
  const left = 2 ** Math.floor(Math.log2(machines - 1))
  return [...slotRanges(slots / 2, left, first), ...slotRanges(slots / 2, machines - left, first + slots / 2)]
}

/** A machine's slots in parts for its workers: as many as workers, where there are slots for that. */
export function partsOfRange({ first, count }: SlotRange, workers: number): number[][] {
  const each = count / Math.min(count, workers)
  return Array.from({ length: count / each }, (_, part) =>
    Array.from({ length: each }, (_, i) => first + part * each + i),
  )
}
