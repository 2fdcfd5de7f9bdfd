/**
 * Batches of sequences as a pure function of (seed, step): resuming is asking for the next step, and no state of the
 * loader exists that could be lost. Not here: tensors, which the trainer makes.
 *
 * Each source is a ring of N tokens, ⌊N / T⌋ windows of T inputs an epoch, visited in an order of that epoch. An epoch
 * starts its windows at an offset of its own, so that sequences do not begin at the same places again, and the fewer
 * than T tokens left over are others each time.
 */
import { ConfigError } from '@hearth/torch'
import type { ConfigIssue } from '@hearth/torch'
import { philox, seedKey, uniform, words } from '../counter-random.js'
import { TokenShards } from '../shards/token-shards.js'
import type { TokenSequence } from '../shards/token-shards.js'
import { Mixture } from './mixture.js'
import { permute } from './permutation.js'

/** Sequences to train on or to measure with. */
export interface TextBatch {
  /** Token ids, row by row: (B, T). */
  inputs: Int32Array
  /** The token that follows each input: (B, T). */
  targets: Int32Array
  /** Numbers of the documents that are packed into each row, (B, T): a token sees its own alone. One text when not given. */
  documents?: Int32Array
  shape: readonly [batch: number, sequenceLength: number]
}

/** A source of sequences and its share. */
export interface Dataset {
  shards: TokenSequence
  /** Share of the sequences, relative to the others. Default: its number of tokens. */
  weight?: number
}

/** Options of `createLoader`. */
export interface LoaderOptions {
  datasets: readonly Dataset[]
  /** Sequences a step. */
  batch: number
  /** Tokens a sequence, T. */
  sequenceLength: number
  /** Decides the order; any integer from 0 to 2^53 - 1. */
  seed: number
}

/** Batches of a run, by step. */
export interface Loader {
  readonly batch: number
  readonly sequenceLength: number
  /** The whole batch of a step: (B, T). */
  batchAt(step: number): TextBatch
  /** The part of a step's batch that a gradient slot gets: rows slot · B / slots and following, (B / slots, T). */
  slotAt(step: number, slot: number, slots: number): TextBatch
  /** How many times each dataset has been gone through before a step, with fractions. */
  epochsAt(step: number): number[]
}

/**
 * Makes a loader.
 *
 * @throws ConfigError naming everything that is impossible: sizes, weights, datasets that are too short
 * @example
 * const loader = createLoader({ datasets: [{ shards: books, weight: 3 }, { shards: web }], batch: 32, sequenceLength: 512, seed: 1 })
 * const { inputs, targets, shape } = loader.batchAt(100_000) // in the same time as batchAt(0)
 */
export function createLoader(options: LoaderOptions): Loader {
  checkOptions(options)
  return new SequenceLoader(options)
}

const EPOCH = 0x65706f63 // 'epoc': keeps these random words apart from other uses of the seed

class SequenceLoader implements Loader {
  readonly batch: number
  readonly sequenceLength: number
  readonly #seed: number
  readonly #sources: readonly TokenSequence[]
  readonly #mixture: Mixture

  constructor({ datasets, batch, sequenceLength, seed }: LoaderOptions) {
    this.batch = batch
    this.sequenceLength = sequenceLength
    this.#seed = seed
    this.#sources = datasets.map(({ shards }) => shards)
    this.#mixture = new Mixture(datasets.map(weightOf), seed)
  }

  batchAt(step: number): TextBatch {
    return this.slotAt(step, 0, 1)
  }

  slotAt(step: number, slot: number, slots: number): TextBatch {
    const rows = this.batch / slots
    const isStep = Number.isSafeInteger(step) && step >= 0 && Number.isSafeInteger((step + 1) * this.batch)
    if (!isStep) throw new RangeError(`step ${step} is no step`)
    if (!Number.isInteger(rows) || !Number.isInteger(slot) || slot < 0 || slot >= slots) {
      throw new RangeError(`slot ${slot} of ${slots} for a batch of ${this.batch}: slots must divide the batch equally`)
    }
    const length = this.sequenceLength
    const inputs = new Int32Array(rows * length) // (rows, T)
    const targets = new Int32Array(rows * length) // (rows, T)
    const window = new Int32Array(length + 1)
    for (let row = 0; row < rows; row++) {
      this.#readWindow(step * this.batch + slot * rows + row, window)
      inputs.set(window.subarray(0, length), row * length)
      targets.set(window.subarray(1), row * length)
    }
    return { inputs, targets, shape: [rows, length] }
  }

  epochsAt(step: number): number[] {
    const counts = this.#mixture.counts(step * this.batch)
    return counts.map((count, source) => count / this.#windows(source))
  }

  #windows(source: number): number {
    return Math.floor(this.#sources[source]!.tokens / this.sequenceLength)
  }

  /** Reads the T + 1 tokens of the n-th sequence of the run. */
  #readWindow(n: number, window: Int32Array): void {
    const { source, ordinal } = this.#mixture.pick(n)
    const tokens = this.#sources[source]!.tokens
    const windows = this.#windows(source)
    const [epochLow, epochHigh] = words(Math.floor(ordinal / windows))
    const [a, b, c, d] = philox([source, epochLow, epochHigh, EPOCH], seedKey(this.#seed))
    const offset = Math.floor(uniform(c, d) * tokens)
    const start = (offset + permute(ordinal % windows, windows, [a, b]) * this.sequenceLength) % tokens
    const first = Math.min(window.length, tokens - start)
    this.#sources[source]!.read(start, window, 0, first)
    this.#sources[source]!.read(0, window, first, window.length - first) // the ring closes
  }
}

function weightOf({ shards, weight }: Dataset): number {
  return weight ?? shards.tokens
}

function checkOptions({ datasets, batch, sequenceLength, seed }: LoaderOptions): void {
  const issues: ConfigIssue[] = []
  const positive = { batch, sequenceLength }
  for (const [path, value] of Object.entries(positive)) {
    const fits = Number.isInteger(value) && value >= 1 && value <= 2 ** 24
    if (!fits) issues.push({ path, message: `got ${value}; expected an integer from 1 to 2^24` })
  }
  if (!Number.isSafeInteger(seed) || seed < 0) {
    issues.push({ path: 'seed', message: `got ${seed}; expected an integer from 0 to 2^53 - 1` })
  }
  if (datasets.length === 0) issues.push({ path: 'datasets', message: 'got none; expected at least one' })
  datasets.forEach(({ shards, weight }, i) => {
    if (weight !== undefined && !(weight > 0 && weight < Infinity)) {
      issues.push({ path: `datasets[${i}].weight`, message: `got ${weight}; expected a positive number` })
    }
    if (shards.tokens <= sequenceLength) {
      const message = `has ${shards.tokens} tokens; a sequence of ${sequenceLength} needs ${sequenceLength + 1}`
      issues.push({ path: `datasets[${i}]`, message })
    }
  })
  const tokenizers = new Set(
    datasets.flatMap(({ shards }) => (shards instanceof TokenShards ? shards.manifest.tokenizer : [])),
  )
  if (tokenizers.size > 1) {
    issues.push({ path: 'datasets', message: 'were made with different tokenizers; prepare them with one' })
  }
  if (issues.length > 0) throw new ConfigError('loader', issues)
}
