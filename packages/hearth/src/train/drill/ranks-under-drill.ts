// What drills and tests do to a run over ranks from inside the process that watches over them.
import { StateFile } from '../../checkpoint/index.js'
import type { RankGroup } from '../../cluster/index.js'
import type { RankCheckpoints } from '../sharded/rank-checkpoints.js'
import { shardFile } from '../sharded/shard-folder.js'
import { flip } from './crew-under-drill.js'

export interface RanksUnderDrill extends Pick<RankGroup, 'processes' | 'inject'> {
  /** Writes checkpoints. */
  saver: Pick<RankCheckpoints, 'processes'>
  /** Flips a bit of a rank's shard, chosen by a number, in the committed state or in the one before it; gives the tensor's name. */
  flipBit(rank: number, choice: number, state?: 'committed' | 'before'): string
}

/** @param shards their folder, and the hash of their configuration */
export function ranksUnderDrill(
  ranks: RankGroup,
  saver: RankCheckpoints,
  shards: { folder: string; hash: string },
): RanksUnderDrill {
  return {
    saver,
    get processes() {
      return ranks.processes
    },
    inject: (rank, fault) => ranks.inject(rank, fault),
    flipBit: (rank, choice, state = 'committed') => {
      using file = StateFile.open(shardFile(shards.folder, rank), { config: shards.hash })
      const { bank } = file.committed!
      return flip(file, state === 'committed' ? bank : 1 - bank, choice)
    },
  }
}
