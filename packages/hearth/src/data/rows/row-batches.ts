// Batches of tokenised rows as a pure function of (seed, step): every unit (a packed row, a pair, a labelled row) once an
// epoch, in an order of that epoch. Targets that are not trained on are -100.
import { ConfigError } from '@hearth/torch'
import { philox, seedKey, words } from '../counter-random.js'
import { IGNORED_TARGET } from '../loader/held-out-batches.js'
import type { TextBatch } from '../loader/loader.js'
import { permute } from '../loader/permutation.js'
import { packSequences } from './packing.js'
import type { RowKind, RowSet } from './row-set.js'
import type { MarkedTokens } from './tokenise.js'

/** Sequences to learn from. */
export interface RowBatch extends TextBatch {
  kind: RowKind
  /** Neighbours with the same number are one sequence, (B, T): where several share a row. */
  documents?: Int32Array
  /**
   * What a sum over this slot is divided by: the trained tokens (or the pairs, or labelled rows) of the whole batch, over
   * its slots. So the loss of a step is the mean over its tokens, however many slots there are.
   */
  divisor: number
  /** Pairs: rows are the better sequences, then the worse. Labelled: rows as they are, then each prompt with the next answer. */
  labels?: readonly boolean[]
}

export interface RowBatchOptions {
  /** Units a step. */
  batch: number
  /** Tokens a row at most, T. */
  sequenceLength: number
  seed: number
  /** Several sequences share a row, none sees another. @default true */
  packing?: boolean
}

const EPOCH = 0x726f7773 // 'rows': keeps these random words apart from other uses of the seed

/** The batches of a run by step. */
export class RowBatches {
  readonly #set: RowSet
  readonly #options: RowBatchOptions
  /** Sequences of each unit. */
  readonly #units: readonly (readonly number[])[]
  readonly #trained: readonly number[]

  /** @throws ConfigError when the sizes are impossible */
  constructor(set: RowSet, options: RowBatchOptions) {
    const { batch, sequenceLength } = options
    const issues = Object.entries({ batch, sequenceLength })
      .filter(([, value]) => !Number.isInteger(value) || value < 1)
      .map(([path, value]) => ({ path, message: `got ${value}; expected a positive integer` }))
    if (issues.length > 0) throw new ConfigError('row batches', issues)
    this.#set = set
    this.#options = options
    this.#units = unitsOf(set, options)
    this.#trained = this.#units.map((unit) => unit.reduce((sum, i) => sum + trainedOf(this.#cut(i)), 0))
  }

  /** Units of an epoch. */
  get units(): number {
    return this.#units.length
  }

  /** The part of a step's batch that a gradient slot gets. */
  slotAt(step: number, slot: number, slots: number): RowBatch {
    const { batch } = this.#options
    const each = batch / slots
    const order = Array.from({ length: batch }, (_, i) => this.#unitAt(step * batch + i))
    return this.#batchOf(order.slice(slot * each, (slot + 1) * each), this.#sizeOf(order) / slots)
  }

  /** Every unit once, in order, at most `rows` at a time. */
  *inOrder(rows: number): Generator<RowBatch> {
    for (let start = 0; start < this.units; start += rows) {
      const chosen = Array.from({ length: Math.min(rows, this.units - start) }, (_, i) => start + i)
      yield this.#batchOf(chosen, this.#sizeOf(chosen))
    }
  }

  #sizeOf(units: readonly number[]): number {
    return this.#set.kind === 'single' ? units.reduce((sum, unit) => sum + this.#trained[unit]!, 0) : units.length
  }

  #unitAt(n: number): number {
    const [low, high] = words(Math.floor(n / this.units))
    const [a, b] = philox([0, low, high, EPOCH], seedKey(this.#options.seed))
    return permute(n % this.units, this.units, [a, b])
  }

  /** A sequence without the tokens that no row has room for: T inputs have T + 1 tokens. */
  #cut(index: number): MarkedTokens {
    const { ids, trained } = this.#set.sequence(index)
    const { sequenceLength } = this.#options
    return { ids: ids.subarray(0, sequenceLength + 1), trained: trained.subarray(0, sequenceLength + 1) }
  }

  #batchOf(units: readonly number[], divisor: number): RowBatch {
    const { kind } = this.#set
    const sequences = units.map((unit) => this.#units[unit]!.map((i) => this.#cut(i)))
    if (kind === 'single') return { ...rowsOf(sequences), kind, divisor: Math.max(1, divisor) }
    if (kind === 'pair') {
      const ways = [0, 1].flatMap((way) => sequences.map((pair) => [pair[way]!]))
      return { ...rowsOf(ways), kind, divisor }
    }
    const matched = sequences.map(([own]) => [own!])
    const others = sequences.map(([own], i) => [this.#mismatched(own!, sequences[(i + 1) % sequences.length]![0]!)])
    return { ...rowsOf([...matched, ...others]), kind, divisor, labels: units.map((unit) => this.#set.label(unit)) }
  }

  /** A prompt with the answer to another. */
  #mismatched(own: MarkedTokens, other: MarkedTokens): MarkedTokens {
    const join = <A extends Int32Array | Uint8Array>(a: A, b: A) => [
      ...a.subarray(0, own.trained.indexOf(1)),
      ...b.subarray(other.trained.indexOf(1)),
    ]
    const length = this.#options.sequenceLength + 1
    return {
      ids: Int32Array.from(join(own.ids, other.ids)).subarray(0, length),
      trained: Uint8Array.from(join(own.trained, other.trained)).subarray(0, length),
    }
  }
}

function unitsOf(set: RowSet, { sequenceLength, packing = true }: RowBatchOptions): number[][] {
  if (set.kind === 'pair') return Array.from({ length: set.rows }, (_, i) => [2 * i, 2 * i + 1])
  const all = Array.from({ length: set.sequences }, (_, i) => i)
  if (set.kind === 'labelled' || !packing) return all.map((i) => [i])
  return packSequences(
    all.map((i) => Math.max(1, set.sequence(i).ids.length - 1)),
    sequenceLength,
  )
}

/** Tokens that are targets: the first of a sequence follows nothing. */
const trainedOf = ({ trained }: MarkedTokens): number => trained.subarray(1).reduce((sum, mark) => sum + mark, 0)

/** Rows of sequences, filled up to the longest row: (B, T). */
function rowsOf(rows: readonly (readonly MarkedTokens[])[]): TextBatch & { documents?: Int32Array } {
  const used = rows.map((row) => row.reduce((sum, { ids }) => sum + Math.max(0, ids.length - 1), 0))
  const T = Math.max(1, ...used)
  const inputs = new Int32Array(rows.length * T) // (B, T)
  const targets = new Int32Array(rows.length * T).fill(IGNORED_TARGET) // (B, T)
  const documents = new Int32Array(rows.length * T).fill(-1) // (B, T), padding is a document of its own
  for (const [b, row] of rows.entries()) {
    let at = b * T
    for (const [number, { ids, trained }] of row.entries()) {
      for (let i = 0; i + 1 < ids.length; i++, at++) {
        inputs[at] = ids[i]!
        documents[at] = number
        if (trained[i + 1]) targets[at] = ids[i + 1]!
      }
    }
  }
  const packed = rows.some((row) => row.length > 1)
  return { inputs, targets, shape: [rows.length, T], ...(packed && { documents }) }
}
