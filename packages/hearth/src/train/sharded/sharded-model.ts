// A model as shards know it: its shapes without any weights, its initial weights one at a time, and the model over the
// shards of all ranks, mapped. Not here: training it.
import { cat, empty, noGrad, scope, type Tensor } from '@hearth/torch'
import type { LoadedCheckpoint } from '../../checkpoint/index.js'
import { loadModel } from '../../formats/index.js'
import { configure, initialise, type LanguageModel } from '../../models/index.js'
import { flattenTree } from '../../tree/index.js'
import type { RunConfig } from '../config.js'
import { modelOver } from '../training-model.js'
import { unitsOf, type ShardLayout, type Shapes } from './layout.js'
import type { ShardState } from './shard-state.js'

/** The tree of a model without weights, and the shape of each in the order of the tree. */
export interface Skeleton {
  tree: unknown
  shapes: Shapes
}

/** @param configJson the model's config.json */
export function skeletonOf(configJson: Record<string, unknown>): Skeleton {
  const { family, config } = configure(configJson)
  const asked: Record<string, readonly number[]> = {}
  const placeholder = empty([0])
  const tensor = (path: string, shape: readonly number[]) => {
    asked[path] = shape
    return placeholder
  }
  const tree = family.build(config, { tensor })
  const shapes = Object.fromEntries(Object.keys(flattenTree(tree)).map((path) => [path, asked[path]!]))
  return { tree, shapes }
}

/** Whole tensors by their names in checkpoints, one at a time; undefined for what begins as zeros. */
export type StateSource = (name: string) => Tensor | undefined

/** The state before the first step: random weights or those of a folder, and zeros for the optimizer. */
export function initialState(config: RunConfig, configJson: Record<string, unknown>): StateSource {
  const byPath =
    config.model.folder === undefined
      ? drawn(config.seed, configJson)
      : flattenTree(loadModel(config.model.folder, { dtype: 'float32' }).weights)
  return (name) => {
    if (!name.startsWith('weights.')) return undefined
    const weight = byPath[name.slice('weights.'.length)]
    return typeof weight === 'function' ? weight() : weight
  }
}

/** A weight's numbers depend on the seed and its path alone: each can be drawn when it is wanted. */
function drawn(seed: number, configJson: Record<string, unknown>): Record<string, Tensor | (() => Tensor)> {
  const { family, config } = configure(configJson)
  const source = initialise({ seed })
  const draws: Record<string, () => Tensor> = {}
  const placeholder = empty([0])
  family.build(config, {
    tensor: (path, shape, init) => {
      draws[path] = () => source.tensor(path, shape, init)
      return placeholder
    },
  })
  return draws
}

/** The state that a checkpoint holds. */
export const savedState =
  (checkpoint: LoadedCheckpoint): StateSource =>
  (name) =>
    checkpoint.tensor(name)

/**
 * The model over the shards of all ranks on this machine: mapped where a weight lies in one shard, copied where it does not.
 * @param states of all shards, by shard
 */
export function modelOfShards(
  configJson: Record<string, unknown>,
  layout: ShardLayout,
  states: readonly ShardState[],
): LanguageModel {
  const pieces: Record<string, Tensor[]> = {}
  for (const unit of unitsOf(layout))
    for (const state of states)
      for (const [path, piece] of Object.entries(state.view(unit).weights)) (pieces[path] ??= []).push(piece)
  const whole = (path: string) => {
    const [first, ...rest] = pieces[path]!
    if (rest.length === 0) return first!
    return noGrad(() => scope(() => cat(pieces[path]!.map((piece) => piece.view([-1]))).view(layout.shapes[path]!)))
  }
  const weights = Object.fromEntries(Object.keys(layout.shapes).map((path) => [path, whole(path)]))
  return modelOver(configJson, weights)
}
