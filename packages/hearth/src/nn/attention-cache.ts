// What a model needs of a cache of keys and values while it reads new tokens. One text in whole buffers is
// key-value-cache.ts; many texts over pages are paged-cache.ts. B batch, H heads, K key/value heads, E width of a head.
import type { Tensor } from '@hearth/torch'
import type { RotaryTables } from './rotary.js'

/** Tokens with neighbouring positions: of one text. */
export interface PositionSpan {
  start: number
  count: number
}

/** Where T new tokens stand: the position of the first, or those of several texts, one behind the other. */
export type Positions = number | readonly PositionSpan[]

export interface CachedAttentionOptions {
  /** Queries and keys are turned first, token t by row t. */
  rotary?: RotaryTables | undefined
  /** A query sees only keys nearer than this many positions, itself counted; 0 for all. */
  window?: number
  /** Of the scores; 1/√E when it is not given. */
  scale?: number | undefined
}

export interface AttentionCache {
  /**
   * Where the new tokens stand.
   * @throws HearthError when they are not what the cache expects, or have no room
   */
  positionsOf(batch: number, tokens: number): Positions
  /**
   * Keeps the keys and values of T new tokens and gives what their queries see: their own text, up to themselves.
   * @param q (B, H, T, E)
   * @param k (B, K, T, E)
   * @param v (B, K, T, E)
   * @returns (B, H, T, E)
   */
  attend(layer: number, q: Tensor, k: Tensor, v: Tensor, options: CachedAttentionOptions): Tensor
  /** Counts the tokens as held, once every layer has them. */
  advance(count: number): void
}
