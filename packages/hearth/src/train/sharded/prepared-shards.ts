// Where ranks begin: with the shards that ranks before them left, when they are whole and newer than every checkpoint, else
// with the newest checkpoint, else with the new model. Nothing is read here but what says so.
import { CheckpointError } from '@hearth/torch'
import { findLatest, realStorage, type Json } from '../../checkpoint/index.js'
import { configHash } from '../changes.js'
import { Judge } from '../judge.js'
import { endLeftProcesses } from '../left-processes.js'
import { checkVocabulary, shapeOf } from '../run-model.js'
import { judgeOptions } from '../session.js'
import { elementsOf, shardLayout, type ShardLayout } from './layout.js'
import { findShards, hashOfShards, makeShardFolder, readShards } from './shard-folder.js'
import { skeletonOf } from './sharded-model.js'
import type { ShardedSessionOptions } from './sharded-session.js'

/** Where the ranks begin. */
export interface PreparedShards {
  modelConfig: Record<string, unknown>
  layout: ShardLayout
  hash: string
  folder: string
  from: 'state file' | 'checkpoint' | 'nothing'
  checkpoint: { path: string; step: number; hash: string; judge: Json | undefined } | undefined
  step: number
  judge: Judge
}

/** @param upTo checkpoints of later steps are passed over */
export async function prepareShards(options: ShardedSessionOptions, upTo?: number): Promise<PreparedShards> {
  const { run, data, ranks, sharding, offload } = options
  const shape = shapeOf(run.config, data.tokenizer)
  checkVocabulary(shape, data.tokenizer)
  const modelConfig = { ...shape.family.toConfig(shape.config) }
  const { shapes } = skeletonOf(modelConfig)
  const layout = shardLayout(shapes, sharding === 'replicate' ? 1 : ranks)
  const checkpoint = await newestCheckpoint(options, upTo)
  const hash = hashOfShards(run.record, options)
  const known = { modelConfig, layout, hash, checkpoint }
  const judgeOf = (known: Json | undefined) => new Judge(judgeOptions(run.config), known)
  const left = findShards(run.folder)
  if (left !== undefined) await endLeftProcesses(left.folder)
  if (left?.ranks === ranks && left.sharding === sharding && left.offload === offload) {
    const shards = readShards(left.folder, ranks, hash)
    if (shards !== undefined && shards.step >= (checkpoint?.step ?? 0))
      return { ...known, folder: left.folder, from: 'state file', step: shards.step, judge: judgeOf(shards.own) }
  }
  const elements = Object.values(shapes).reduce((sum, shape) => sum + elementsOf(shape), 0)
  // Weights and at most two moments in float32, in two banks.
  const bytes = elements * 24 * (sharding === 'replicate' ? ranks : 1)
  const folder = makeShardFolder(run.folder, { ranks, sharding, offload }, bytes)
  const from = checkpoint ? 'checkpoint' : 'nothing'
  return { ...known, folder, from, step: checkpoint?.step ?? 0, judge: judgeOf(checkpoint?.judge) }
}

/** @throws CheckpointError when it is of another configuration, or all are damaged */
async function newestCheckpoint(
  { run, report }: ShardedSessionOptions,
  upTo = Infinity,
): Promise<PreparedShards['checkpoint']> {
  const onRefused = ({ path, problems }: { path: string; problems: readonly string[] }) =>
    report({
      kind: 'warning',
      message: `checkpoint ${path} is refused, the one before it is used: ${problems.join('; ')}`,
    })
  const latest = await findLatest(realStorage, run.paths.checkpoints, { onRefused, upTo })
  if (latest === undefined) return undefined
  const { step, meta } = latest.manifest
  if ((meta as { config?: string }).config !== configHash(run.config))
    throw new CheckpointError(`${latest.path} was written with another configuration than ${run.paths.config} holds`, {
      remedy: 'put back the config.json that the run was started with, or start a new run from its exported model',
    })
  return { path: latest.path, step, hash: latest.hash, judge: (meta as { judge?: Json }).judge }
}
