// Ranks of a group within one process, for tests of what ranks compute: only processes of their own can be lost, and have
// memory of their own (sharded-run.fault.test.ts).
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ProcessGroup, RendezvousServer, type Tensor } from '@hearth/torch'
import { hashCounters, type TextBatch } from '../src/data/index.js'
import { createModel, type LanguageModel } from '../src/models/index.js'
import type { Optimizer } from '../src/optim/index.js'
import {
  nextToken,
  shardLayout,
  ShardedTrainer,
  ShardState,
  type Offload,
  type Shapes,
  type Sharding,
  type ShardedTrainerOptions,
  type StepBatches,
} from '../src/train/index.js'
import { flattenTree } from '../src/tree/index.js'

/** Weights of several norm chunks, so that shards cut through them. */
const SIZES = {
  vocab_size: 640,
  n_embd: 96,
  n_layer: 3,
  n_head: 4,
  n_positions: 16,
  hidden_size: 96,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 256,
  max_position_embeddings: 16,
}

/**
 * @param type gpt2 and llama-tied have tied heads
 * @param changes to its configuration
 */
export function smallModel(
  type: 'gpt2' | 'llama' | 'llama-tied' | 'gpt_neox' | 'mixtral',
  changes: Record<string, unknown> = {},
): LanguageModel {
  const [model_type] = type.split('-')
  return createModel({ model_type, tie_word_embeddings: /gpt2|tied/.test(type), ...SIZES, ...changes }, { seed: 5 })
}

const TOKENS = 16

/** Batches of random tokens, a function of (step, slot). */
export const randomBatches: StepBatches<TextBatch> = {
  slotAt: (step, slot) => {
    const id = (i: number) => hashCounters(9, step, slot, i) % SIZES.vocab_size
    const of = (from: number) => Int32Array.from({ length: TOKENS }, (_, i) => id(from + i))
    return { inputs: of(0), targets: of(1), shape: [1, TOKENS] }
  },
}

export const shapesOf = (model: LanguageModel): Shapes =>
  Object.fromEntries(Object.entries(flattenTree(model.weights)).map(([path, weight]) => [path, weight.shape]))

type Trainer = ShardedTrainerOptions<TextBatch>

export interface InProcessOptions {
  ranks: number
  sharding: Sharding
  optimizer: Optimizer
  model: LanguageModel
  offload?: Offload
  /** What to begin with; the model's weights when it is not given. */
  from?: { step: number; source: (name: string) => Tensor | undefined }
  trainer: Omit<Trainer, 'tree' | 'group' | 'sharding' | 'state' | 'optimizer' | 'objective' | 'batches'> &
    Partial<Pick<Trainer, 'objective' | 'batches'>>
}

/** Forms a group and runs `work` in every rank at once. */
export async function inRanks<T>(
  options: InProcessOptions,
  work: (trainer: ShardedTrainer<TextBatch>, rank: number, state: ShardState) => Promise<T>,
): Promise<T[]> {
  const server = await RendezvousServer.listen()
  const folder = mkdtempSync(join(tmpdir(), 'hearth-ranks-'))
  const each = async (rank: number) => {
    const store = { host: '127.0.0.1', port: server.port }
    const group = await ProcessGroup.join({ store, rank, size: options.ranks, timeoutSeconds: 30, generation: 0 })
    const state = begin(options, join(folder, `state-${rank}`), rank)
    try {
      const { model, sharding, optimizer, trainer } = options
      const common = { tree: model.weights, objective: nextToken(model), batches: randomBatches, ...trainer }
      return await work(new ShardedTrainer({ ...common, group, state, sharding, optimizer }), rank, state)
    } finally {
      state.close()
      await group.leave()
    }
  }
  try {
    return await Promise.all(Array.from({ length: options.ranks }, (_, rank) => each(rank)))
  } finally {
    server.close()
    rmSync(folder, { recursive: true })
  }
}

function begin(
  { ranks, sharding, optimizer, model, offload = 'memory', from }: InProcessOptions,
  path: string,
  rank: number,
) {
  const layout = shardLayout(shapesOf(model), sharding === 'replicate' ? 1 : ranks)
  const shard = sharding === 'replicate' ? 0 : rank
  const state = ShardState.create({ path, layout, shard, hash: 'test', offload, optimizer })
  const weights = flattenTree(model.weights)
  const initial = (name: string) => weights[name.replace(/^weights\./, '')]
  state.fill(from?.step ?? 0, null, from?.source ?? initial)
  return state
}

/** Values by name, of the whole state, as rank 0 sees it. */
export async function wholeValues(trainer: ShardedTrainer<TextBatch>): Promise<Record<string, number[]>> {
  const values: Record<string, number[]> = {}
  for await (const part of trainer.wholeState()) Object.assign(values, valuesOf(part))
  return values
}

export const valuesOf = (named: Record<string, Tensor>): Record<string, number[]> =>
  Object.fromEntries(Object.entries(named).map(([name, tensor]) => [name, tensor.toArray()]))
