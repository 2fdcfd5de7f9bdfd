// Who carries a run: this process, workers under a supervisor, or ranks. Not here: the flow of a run (run.ts).
import type { Engine } from './engine.js'
import type { RunOptions } from './run.js'
import { Session } from './session.js'
import { findShards } from './sharded/shard-folder.js'
import { ShardedSession } from './sharded/sharded-session.js'
import { findStateFolder } from './state-folder.js'
import type { SupervisedOptions } from './supervised-options.js'
import { SupervisedSession } from './supervised-session.js'

type Opened = Pick<SupervisedOptions, 'run' | 'data' | 'dtype' | 'report'>

/** Ranks or workers when they are asked for, or some left a state that is ahead; else this process. */
export async function openEngine(options: Opened, asked: RunOptions): Promise<Engine> {
  const { drill, rankDrill } = asked
  const ranks = asked.ranks ?? (asked.workers === undefined ? findShards(options.run.folder) : undefined)
  if (ranks !== undefined)
    return await ShardedSession.open({ ...options, ...ranks, ...rankDrill, poison: drill?.poison })
  const workers = asked.workers ?? (findStateFolder(options.run.folder) === undefined ? undefined : 1)
  if (workers !== undefined) return await SupervisedSession.open({ ...options, ...crewOf(asked), workers })
  const session = new Session(options.run, options.data, options.dtype, options.report, drill?.poison)
  await session.restore()
  return session
}

/** What of the options is for the supervisor. */
const crewOf = ({ drill, minWorkers, replaceSlow = false }: RunOptions) => ({
  ...drill,
  ...(minWorkers !== undefined && { minWorkers }),
  replaceSlow,
})
