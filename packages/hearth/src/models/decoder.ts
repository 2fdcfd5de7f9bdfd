// What every decoder does around its blocks: check what it is given, run the blocks in order, apply the head.
// B batch, T tokens, D width, V vocabulary.
import { cat, HearthError, noGrad, scope, type Tensor } from '@hearth/torch'
import {
  attention,
  documentPositions,
  embedding,
  linear,
  type Dropout,
  type Embedding,
  type AttentionCache,
  type Positions,
  type RotaryTables,
} from '../nn/index.js'
import { dropoutOf, type DropoutAt } from './dropout.js'
import type { Family, ForwardOptions } from './family.js'

/** What a block needs to know besides its weights and its input. */
export interface BlockContext {
  layer: number
  cache: AttentionCache | undefined
  /** (B, T); see ForwardOptions. */
  documents: Tensor | undefined
  dropout: DropoutAt
}

/**
 * Where the tokens of `ids` stand: from position 0, or as the cache says.
 * @throws HearthError when the ids are not (B, T) integers, the documents are not like them, or the text is longer than
 * the context or the cache
 */
export function firstPosition(ids: Tensor, contextLength: number, { cache, documents }: ForwardOptions): Positions {
  const [batch, tokens] = ids.shape
  if (ids.shape.length !== 2 || tokens === 0 || (ids.dtype !== 'int64' && ids.dtype !== 'int32'))
    throw new HearthError(
      `token ids must be int64 of shape (batch, tokens) with at least one token, got ${String(ids)}`,
    )
  if (documents && (cache || documents.shape.join() !== ids.shape.join()))
    throw new HearthError(
      cache
        ? 'packed documents are read whole: they do not go with a key/value cache'
        : `documents must be numbers of shape [${ids.shape.join(', ')}], as the ids are, got ${String(documents)}`,
    )
  const positions = cache?.positionsOf(batch!, tokens!) ?? 0
  const spans = typeof positions === 'number' ? [{ start: positions, count: tokens! }] : positions
  for (const { start, count } of spans) checkLength(start, count, contextLength)
  return positions
}

function checkLength(start: number, count: number, contextLength: number): void {
  if (start + count <= contextLength) return
  const held = start > 0 ? ` (${start} in the cache and ${count} new)` : ''
  throw new HearthError(`the text has ${start + count} tokens${held}, the model reads at most ${contextLength}`, {
    remedy: 'give it a shorter text, or a model with a longer context',
  })
}

/** And where positions are rotary, the tables of the T new tokens. */
export interface RotaryContext extends BlockContext {
  rotary: RotaryTables
}

/** What differs between layers and families. */
export interface AttentionSettings {
  /** Of the scores; 1/√E when it is not given. */
  scale?: number
  /** A query sees only keys nearer than this many positions, itself counted; 0 for all. */
  window?: number
  dropout?: Dropout | undefined
}

/**
 * Causal attention of new tokens to themselves and to those of the cache. Rotary queries and keys turn within the kernel,
 * or before a cache keeps the keys.
 * @param q (B, H, T, E)
 * @param k (B, K, T, E)
 * @param v (B, K, T, E)
 * @returns (B, H, T, E)
 */
export function causalAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { layer, cache, documents, rotary }: BlockContext & { rotary?: RotaryTables },
  { window = 0, ...settings }: AttentionSettings = {},
): Tensor {
  if (cache === undefined) return attention(q, k, v, { causal: true, rotary, documents, window, ...settings })
  return cache.attend(layer, q, k, v, { rotary, window, ...settings })
}

/**
 * Rows of a table of learned positions for T tokens; for packed documents, counted within each.
 * @returns (T, D), or (B, T, D) with documents
 */
export function learnedPositions(table: Embedding, at: Positions, tokens: number, documents?: Tensor): Tensor {
  if (documents !== undefined) return embedding(table, documentPositions(documents))
  const rows = (start: number, count: number) => table.weight.narrow(0, start, count)
  if (typeof at === 'number') return rows(at, tokens)
  return cat(at.map(({ start, count }) => rows(start, count)))
}

/**
 * Runs x (B, T, D) through the blocks; then the cache holds their tokens. Each block has a scope, so that of its
 * intermediates only those stay that the backward pass needs.
 */
export function runBlocks<Block>(
  blocks: readonly Block[],
  x: Tensor,
  { cache, documents, dropoutSeed, runBlock }: ForwardOptions,
  run: (block: Block, x: Tensor, context: BlockContext) => Tensor,
): Tensor {
  const tokens = x.shape[1]!
  for (const [layer, block] of blocks.entries()) {
    const context = { layer, cache, documents, dropout: dropoutOf(dropoutSeed, layer) }
    const one = (input: Tensor) => scope(() => run(block, input, context))
    const next = runBlock ? runBlock(one, x) : one(x)
    if (!runBlock) x.dispose() // autograd holds its own
    x = next
  }
  cache?.advance(tokens)
  return x
}

/** Family.forward, from the family's `hidden` and `projection`. */
export function forwardOf<Config, Weights>(
  family: Pick<Family<Config, Weights>, 'hidden' | 'projection'>,
): Family<Config, Weights>['forward'] {
  return (weights, config, ids, options = {}) => {
    const run = () => {
      const hidden = family.hidden(weights, config, ids, options) // (B, T, D)
      const last = ids.shape[1]! - 1
      return linear(family.projection(weights), options.lastOnly ? hidden.narrow(1, last, 1) : hidden) // (B, T or 1, V)
    }
    if (options.cache) return noGrad(() => scope(run))
    // A block that runs again in the backward pass uses tables made in here: they belong to the caller's scope.
    return options.runBlock ? run() : scope(run)
  }
}
