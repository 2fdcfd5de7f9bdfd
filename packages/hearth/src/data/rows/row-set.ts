// Tokenised rows as they are kept in a run's folder and read again: one safetensors file, so that a run that goes on
// depends on nothing else. Not here: batches (row-batches.ts).
import { DataError, FormatError, readSafetensors, scope, tensor, writeSafetensors, type Tensor } from '@hearth/torch'
import { createHash } from 'node:crypto'
import type { Example, MarkedTokens } from './tokenise.js'

/** What the rows of a set are: sequences, pairs of a better and a worse one, or sequences with a label. */
export type RowKind = 'single' | 'pair' | 'labelled'

/** Sequences in their order; a pair is two that follow each other. */
export class RowSet {
  readonly kind: RowKind
  readonly #ids: Int32Array
  readonly #trained: Uint8Array
  /** Where each sequence begins, and where the last ends. */
  readonly #starts: Int32Array
  readonly #labels: Uint8Array

  constructor(kind: RowKind, parts: { ids: Int32Array; trained: Uint8Array; starts: Int32Array; labels: Uint8Array }) {
    this.kind = kind
    this.#ids = parts.ids
    this.#trained = parts.trained
    this.#starts = parts.starts
    this.#labels = parts.labels
  }

  static of(kind: RowKind, examples: readonly Example[]): RowSet {
    const sequences = examples.flatMap(({ sequences }) => sequences)
    const starts = new Int32Array(sequences.length + 1)
    sequences.forEach(({ ids }, i) => (starts[i + 1] = starts[i]! + ids.length))
    const ids = new Int32Array(starts.at(-1)!)
    const trained = new Uint8Array(ids.length)
    sequences.forEach((sequence, i) => {
      ids.set(sequence.ids, starts[i])
      trained.set(sequence.trained, starts[i])
    })
    return new RowSet(kind, { ids, trained, starts, labels: Uint8Array.from(examples, ({ label }) => (label ? 1 : 0)) })
  }

  /** Sequences; rows are half as many where they are pairs. */
  get sequences(): number {
    return this.#starts.length - 1
  }

  get rows(): number {
    return this.kind === 'pair' ? this.sequences / 2 : this.sequences
  }

  get tokens(): number {
    return this.#ids.length
  }

  get trainedTokens(): number {
    return this.#trained.reduce((sum, mark) => sum + mark, 0)
  }

  /** Views, not copies. */
  sequence(index: number): MarkedTokens {
    const [start, end] = [this.#starts[index]!, this.#starts[index + 1]!]
    return { ids: this.#ids.subarray(start, end), trained: this.#trained.subarray(start, end) }
  }

  label(row: number): boolean {
    return this.#labels[row] === 1
  }

  /** @internal */
  parts(prefix: string): [string, Tensor][] {
    const ints = (values: Int32Array) => tensor(values, { dtype: 'int32' })
    const bytes = (values: Uint8Array) => tensor(values, { dtype: 'uint8' })
    return [
      [`${prefix}.ids`, ints(this.#ids)],
      [`${prefix}.trained`, bytes(this.#trained)],
      [`${prefix}.starts`, ints(this.#starts)],
      [`${prefix}.labels`, bytes(this.#labels)],
    ]
  }
}

/** The rows of a run. */
export interface SplitRows {
  train: RowSet
  heldOut: RowSet
  /** What they were made with, in words. */
  facts: Readonly<Record<string, string>>
  /** Names everything that is trained on. */
  hash: string
}

const FORMAT = 'hearth-rows-1'

/** Writes both sides, atomically. */
export function writeRows(path: string, { train, heldOut, facts }: Omit<SplitRows, 'hash'>): void {
  scope(() => {
    const tensors = Object.fromEntries([...train.parts('train'), ...heldOut.parts('heldout')])
    writeSafetensors(path, tensors, { ...facts, format: FORMAT, kind: train.kind })
  })
}

/** @throws FormatError, DataError when the file is not what writeRows() wrote */
export function readRowSets(path: string): SplitRows {
  using file = readSafetensors(path)
  const { format, kind, ...facts } = file.metadata
  if (format !== FORMAT || !['single', 'pair', 'labelled'].includes(kind ?? ''))
    throw new FormatError(`${path}: holds no rows that Hearth wrote`)
  const read = (name: string) => scope(() => Int32Array.from(file.tensor(name).toArray()))
  const part = (prefix: string) =>
    new RowSet(kind as RowKind, {
      ids: read(`${prefix}.ids`),
      trained: Uint8Array.from(read(`${prefix}.trained`)),
      starts: read(`${prefix}.starts`),
      labels: Uint8Array.from(read(`${prefix}.labels`)),
    })
  const [train, heldOut] = [part('train'), part('heldout')]
  if (train.rows === 0) throw new DataError(`${path}: has no rows to train on`)
  return { train, heldOut, facts, hash: hashOf(train) }
}

function hashOf(set: RowSet): string {
  const hash = createHash('sha256').update(set.kind)
  for (let i = 0; i < set.sequences; i++) {
    const { ids, trained } = set.sequence(i)
    hash.update(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength)).update(trained)
  }
  return hash.digest('hex')
}
