// The four ways to share a model among ranks, and which ranks, slots and optimizers they fit. Nothing here computes.
import { ConfigError, type ConfigIssue } from '@hearth/torch'

/**
 * What is cut into one shard for each rank: nothing; the optimizer's state with the master weights; also the summed
 * gradient; also the weights, which are gathered block by block. (ZeRO stages 1 to 3, Rajbhandari et al. 2020,
 * arXiv:1910.02054.)
 */
export type Sharding = 'replicate' | 'optimizer' | 'gradients' | 'everything'

/** Every stage, from the most memory to the least. */
export const SHARDINGS = ['replicate', 'optimizer', 'gradients', 'everything'] as const

/** Where the shards of state lie: in shared memory, or in files that are mapped one block at a time. */
export type Offload = 'memory' | 'disk'

const isPowerOfTwo = (n: number) => n >= 1 && (n & (n - 1)) === 0

/** Gradients are reduced slot by slot, not once a step. */
export const reducesEachSlot = (sharding: Sharding): boolean => sharding === 'gradients' || sharding === 'everything'

/** Whether the sums of the ranks are parts of the one tree over all slots. */
export function fits(sharding: Sharding, slots: number, ranks: number): boolean {
  if (slots % ranks !== 0) return false
  if (ranks === 1 || ranks === slots) return true
  // Slot by slot, a round sums one slot of each rank; once a step, each rank has summed its own.
  return isPowerOfTwo(reducesEachSlot(sharding) ? ranks : slots / ranks)
}

/**
 * The slots of a rank, in the order in which it does them: next to each other where it sums them before all ranks do;
 * one of each round where all ranks sum after every slot.
 */
export function slotsOfRank(sharding: Sharding, slots: number, rank: number, ranks: number): number[] {
  const each = slots / ranks
  return Array.from({ length: each }, (_, i) => (reducesEachSlot(sharding) ? i * ranks + rank : rank * each + i))
}

/** What makes a sharded run impossible: all of it. */
export function shardingIssues(options: {
  sharding: Sharding
  ranks: number
  slots: number
  optimizer: string
  /** How the optimizer keeps its moments. */
  moments?: string | undefined
  device: string
}): ConfigIssue[] {
  const { sharding, ranks, slots, optimizer, moments, device } = options
  const issues: ConfigIssue[] = []
  if (!fits(sharding, slots, ranks)) {
    const fitting = Array.from({ length: slots }, (_, i) => i + 1).filter((count) => fits(sharding, slots, count))
    const message = `${ranks} cannot share ${slots} gradient slots with sharding ${sharding}; choose ${fitting.join(', ')}, or change slots for a new run`
    issues.push({ path: 'ranks', message })
  }
  if (optimizer === 'muon' && sharding !== 'replicate' && ranks > 1)
    issues.push({
      path: 'optimizer.name',
      message: 'muon needs whole matrices, and a shard has parts of them: use sharding replicate, or adamw',
    })
  if (moments === '8bit')
    issues.push({ path: 'optimizer.moments', message: '8bit has no shards yet: leave it out, or train without ranks' })
  if (device !== 'cpu')
    issues.push({ path: 'device', message: `ranks compute on the cpu: there are no collectives for ${device} yet` })
  return issues
}

/** @throws ConfigError with everything that makes it impossible */
export function checkSharding(options: Parameters<typeof shardingIssues>[0]): void {
  const issues = shardingIssues(options)
  if (issues.length > 0) throw new ConfigError('sharding', issues)
}
