// How the work of a step is cut for workers so that the cut does not show in the bits: slots into aligned blocks of one
// fixed tree, weights into groups of about the same size.
import { ConfigError } from '@hearth/torch'

/**
 * The blocks of slots whose gradients are summed by one worker. Each has a power of two of slots, so that its sum is a
 * subtree of the sum over all.
 * @throws ConfigError when the workers cannot have equal shares
 */
export function partsOf(slots: number, workers: number): number[][] {
  if (slots % workers !== 0) {
    const fitting = Array.from({ length: slots }, (_, i) => i + 1).filter((count) => slots % count === 0)
    const message = `${workers} cannot share ${slots} gradient slots equally; choose ${fitting.join(', ')}, or change slots for a new run`
    throw new ConfigError('workers', [{ path: 'workers', message }])
  }
  const each = slots / workers
  const block = each & -each
  return Array.from({ length: slots / block }, (_, part) => Array.from({ length: block }, (_, i) => part * block + i))
}

/**
 * Weights in as many groups, of about the same number of elements: largest first, each to the smallest group.
 * @param sizes elements by path
 */
export function groupsOf(sizes: Readonly<Record<string, number>>, groups: number): string[][] {
  const made = Array.from({ length: groups }, () => ({ paths: [] as string[], size: 0 }))
  const largestFirst = Object.entries(sizes).sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
  for (const [path, size] of largestFirst) {
    const smallest = made.reduce((least, group) => (group.size < least.size ? group : least))
    smallest.paths.push(path)
    smallest.size += size
  }
  return made.map(({ paths }) => paths).filter((paths) => paths.length > 0)
}
