// The options of commands that train over ranks, and what they come to. Not here: what ranks do (hearth/train).
import type { RankOptions, RunOptions } from 'hearth/train'
import type { OptionSpecs } from './command.js'
import { UsageError } from './failure.js'

/** Options of a command for a run that ranks share. */
export const rankOptions = {
  ranks: {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    description: 'processes with memory of their own that share weights, gradients and optimizer state',
  },
  sharding: {
    kind: 'text',
    value: 'STAGE',
    choices: ['replicate', 'optimizer', 'gradients', 'everything'],
    description: 'what the ranks share, everything when it is not given; each stage includes those before it',
  },
  offload: {
    kind: 'text',
    value: 'PLACE',
    choices: ['memory', 'disk'],
    description: 'where ranks keep weights and optimizer state: in shared memory, or mapped from disk block by block',
  },
} as const satisfies OptionSpecs

/** How a run is shared among ranks, where a number of them was given. */
export function ranksOf(
  {
    ranks,
    sharding,
    offload,
  }: { ranks: number | undefined; sharding: string | undefined; offload: string | undefined },
  command: string,
): Pick<RunOptions, 'ranks'> {
  if (ranks !== undefined) {
    const [stage, place] = [sharding ?? 'everything', offload ?? 'memory'] as [
      RankOptions['sharding'],
      RankOptions['offload'],
    ]
    return { ranks: { ranks, sharding: stage, offload: place } }
  }
  const alone = [sharding !== undefined && '--sharding', offload !== undefined && '--offload'].filter(Boolean)
  if (alone.length > 0) throw new UsageError([`${alone.join(' and ')} is for runs with --ranks N`], command)
  return {}
}
