/**
 * Held-out tokens in their order, each once: for a loss that is the same whenever it is measured. Every row starts
 * afresh, so its first tokens are predicted with little context; longer sequences measure a lower loss.
 */
import { ConfigError } from '@hearth/torch'
import type { TokenSequence } from '../shards/token-shards.js'
import type { TextBatch } from './loader.js'

/** The target of a place that has none: `crossEntropyLoss` leaves it out by default. */
export const IGNORED_TARGET = -100

/** Sizes of held-out batches. */
export interface HeldOutBatchOptions {
  /** Most sequences in a batch; the last batch may have fewer. */
  batch: number
  /** Tokens a sequence, T. */
  sequenceLength: number
}

/**
 * Goes through a sequence of tokens: each is a target once, save the very first, which nothing comes before. The last
 * row is filled up with token 0 and targets of -100.
 *
 * @throws ConfigError for impossible sizes, and when there are fewer than two tokens
 */
export function* heldOutBatches(shards: TokenSequence, options: HeldOutBatchOptions): Generator<TextBatch> {
  const { batch, sequenceLength: length } = options
  const sizes = Object.entries({ batch, sequenceLength: length }).filter(([, n]) => !Number.isInteger(n) || n < 1)
  const issues = sizes.map(([path, value]) => ({ path, message: `got ${value}; expected a positive integer` }))
  if (shards.tokens < 2) issues.push({ path: 'shards', message: `has ${shards.tokens} tokens; expected at least 2` })
  if (issues.length > 0) throw new ConfigError('held-out batches', issues)
  const targetsLeft = shards.tokens - 1
  for (let start = 0; start < targetsLeft; start += batch * length) {
    const rows = Math.min(batch, Math.ceil((targetsLeft - start) / length))
    const inputs = new Int32Array(rows * length) // (rows, T)
    const targets = new Int32Array(rows * length).fill(IGNORED_TARGET) // (rows, T)
    const count = Math.min(rows * length, targetsLeft - start)
    // Rows follow one another in the text, so that the flat arrays are the text itself, shifted by one.
    shards.read(start, inputs, 0, count)
    shards.read(start + 1, targets, 0, count)
    yield { inputs, targets, shape: [rows, length] }
  }
}
