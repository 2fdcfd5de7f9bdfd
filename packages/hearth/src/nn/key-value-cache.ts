// Keys and values of the tokens that were already read, so that a new token costs one position and not the whole text.
// For inference: nothing here is recorded for autograd. B batch, K key/value heads, E width of a head.
import { empty, HearthError, keep, noGrad, scope, type Device, type DType, type Tensor } from '@hearth/torch'
import type { AttentionCache, CachedAttentionOptions, Positions } from './attention-cache.js'
import { attention } from './attention.js'
import { applyRotary } from './rotary.js'

export interface CacheShape {
  layers: number
  batch: number
  /** Key/value heads. */
  heads: number
  headDim: number
  /** Tokens that fit. */
  capacity: number
  dtype?: DType
  device?: Device
}

/**
 * One preallocated pair of buffers (B, K, capacity, E) a layer. A forward pass appends to every layer, then advances.
 * @example
 * using cache = new KeyValueCache({ layers: 2, batch: 1, heads: 4, headDim: 8, capacity: 64 })
 */
export class KeyValueCache implements AttentionCache {
  readonly batch: number
  readonly capacity: number
  readonly #keys: Tensor[]
  readonly #values: Tensor[]
  #length = 0

  constructor({ layers, batch, heads, headDim, capacity, dtype = 'float32', device = 'cpu' }: CacheShape) {
    const buffers = () =>
      Array.from({ length: layers }, () => keep(empty([batch, heads, capacity, headDim], { dtype, device })))
    this.batch = batch
    this.capacity = capacity
    this.#keys = buffers()
    this.#values = buffers()
  }

  /** Tokens held; the next one gets this position. */
  get length(): number {
    return this.#length
  }

  /** Tokens that still fit. */
  get room(): number {
    return this.capacity - this.#length
  }

  positionsOf(batch: number, tokens: number): Positions {
    if (batch !== this.batch)
      throw new HearthError(`the key/value cache is for a batch of ${this.batch}, got ids of a batch of ${batch}`)
    if (tokens > this.room)
      throw new HearthError(`the key/value cache has room for ${this.room} of ${this.capacity} tokens, got ${tokens}`, {
        remedy: 'make the cache with a larger capacity',
      })
    return this.#length
  }

  /** See AttentionCache. Keys are turned before they are kept. */
  attend(layer: number, q: Tensor, k: Tensor, v: Tensor, options: CachedAttentionOptions): Tensor {
    const { rotary, window = 0, ...rest } = options
    const turn = (x: Tensor) => (rotary === undefined ? x : applyRotary(x, rotary))
    const [keys, values] = this.append(layer, turn(k), v) // (B, K, S, E)
    const [held, tokens] = [keys.shape[2]!, q.shape[2]!]
    const seen = window === 0 ? held : Math.min(held, window + tokens - 1)
    const last = (x: Tensor) => (seen === held ? x : x.narrow(2, held - seen, seen))
    return attention(turn(q), last(keys), last(values), { causal: true, window, ...rest })
  }

  /**
   * Writes the keys and values of T new tokens behind those that are held. `length` stays: see advance().
   * @param keys (B, K, T, E)
   * @param values (B, K, T, E)
   * @returns all keys and all values of the layer, (B, K, length + T, E), views that hold until the next append
   * @throws HearthError when they do not fit
   */
  append(layer: number, keys: Tensor, values: Tensor): [keys: Tensor, values: Tensor] {
    const count = keys.shape[2]!
    if (count > this.room)
      throw new HearthError(`the key/value cache has room for ${this.room} of ${this.capacity} tokens, got ${count}`, {
        remedy: 'make the cache with a larger capacity, or truncate() it',
      })
    return [this.#write(this.#keys[layer]!, keys, count), this.#write(this.#values[layer]!, values, count)]
  }

  #write(buffer: Tensor, added: Tensor, count: number): Tensor {
    noGrad(() => scope(() => void buffer.narrow(2, this.#length, count).copy_(added)))
    return buffer.narrow(2, 0, this.#length + count)
  }

  /** Counts T tokens as held, once every layer has them. */
  advance(count: number): void {
    this.#length += count
  }

  /**
   * Forgets the tokens from position `length` on.
   * @throws HearthError when fewer are held
   */
  truncate(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length)
      throw new HearthError(`cannot truncate a key/value cache of ${this.#length} tokens to ${length}`)
    this.#length = length
  }

  /** Forgets everything. */
  reset(): void {
    this.#length = 0
  }

  /** Frees the buffers. */
  dispose(): void {
    for (const buffer of [...this.#keys, ...this.#values]) buffer.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}
