// Where the shards of a run lie, and whether those that were left behind are of use: whoever goes on with a run after a
// crash finds them by the run's folder. Not here: what a shard holds (shard-state.ts).
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { StateFile, type Committed, type Json } from '../../checkpoint/index.js'
import { configHash } from '../changes.js'
import { resolveConfig, type RunConfig } from '../config.js'
import { runPaths, type RunRecord } from '../run-folder.js'
import { makeStateFolder, removeStateFolder, stateFolders } from '../state-folder.js'
import { committedWith, ShardState, type ShardStateOptions } from './shard-state.js'
import { SHARDINGS, type Offload, type Sharding } from './stages.js'

/** How a run is shared among ranks: nothing of it shows in the bits. */
export interface RankOptions {
  ranks: number
  sharding: Sharding
  offload: Offload
}

const PLAN = 'ranks.json'

export const shardFile = (folder: string, rank: number): string => join(folder, `shard-${rank}`)

/** The shards of all ranks, by shard: the caller closes them. */
export const openShards = (
  folder: string,
  options: Pick<ShardStateOptions, 'layout' | 'hash' | 'offload'>,
): ShardState[] =>
  Array.from({ length: options.layout.shards }, (_, shard) =>
    ShardState.open({ ...options, path: shardFile(folder, shard), shard }),
  )

/** The shards that ranks of this run left, if any. */
export function findShards(runFolder: string): (RankOptions & { folder: string }) | undefined {
  for (const folder of stateFolders(runFolder)) {
    const path = join(folder, PLAN)
    if (!existsSync(path)) continue
    const plan = readPlan(path)
    if (plan !== undefined) return { ...plan, folder }
  }
  return undefined
}

/** Undefined for what a crash has torn. */
function readPlan(path: string): RankOptions | undefined {
  try {
    const { ranks, sharding, offload } = JSON.parse(readFileSync(path, 'utf8')) as RankOptions
    const isPlan = Number.isInteger(ranks) && ranks > 0 && SHARDINGS.includes(sharding)
    return isPlan ? { ranks, sharding, offload: offload === 'disk' ? 'disk' : 'memory' } : undefined
  } catch {
    return undefined
  }
}

/** An empty folder for the shards of a run: in shared memory where there is room, or in the run's folder. */
export function makeShardFolder(runFolder: string, plan: RankOptions, bytes: number): string {
  const folder = plan.offload === 'disk' ? onDisk(runFolder) : makeStateFolder(runFolder, bytes)
  writeFileSync(join(folder, PLAN), JSON.stringify(plan))
  return folder
}

function onDisk(runFolder: string): string {
  removeStateFolder(runFolder)
  const folder = join(runFolder, 'state')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  return folder
}

/** Names the run, its configuration and how many shards there are of it. */
export const hashOfShards = (record: RunRecord<RunConfig>, { ranks, sharding }: RankOptions): string =>
  `${configHash(record.config)} ${record.createdAt} ${sharding === 'replicate' ? 1 : ranks}`

/** The step that all shards of a plan have, and what was committed with it. */
export interface LeftShards {
  step: number
  own: Json
}

/**
 * What ranks can go on from.
 * @param hash of hashOfShards()
 * @returns undefined when a shard is missing, of another run, or further than one step away from the others
 */
export function readShards(folder: string, ranks: number, hash: string): LeftShards | undefined {
  const committed = Array.from({ length: ranks }, (_, rank) => committedOf(shardFile(folder, rank), hash))
  const all = committed.filter((each) => each !== undefined)
  if (all.length < ranks) return undefined
  const step = Math.min(...all.map((each) => each.step))
  const reached = all.map((each) => committedWith(each, step))
  return reached.includes(undefined) ? undefined : { step, own: reached[0]!.own }
}

/** The step that ranks which were killed left; undefined where there is none of this run. */
export function leftStep(runFolder: string, record: RunRecord<RunConfig>): number | undefined {
  const left = findShards(runFolder)
  if (left === undefined) return undefined
  const config = resolveConfig(record.config, runPaths(runFolder).config)
  return readShards(left.folder, left.ranks, hashOfShards({ ...record, config }, left))?.step
}

function committedOf(path: string, hash: string): Committed | undefined {
  try {
    using file = StateFile.open(path, { config: hash })
    return file.committed
  } catch {
    return undefined
  }
}
