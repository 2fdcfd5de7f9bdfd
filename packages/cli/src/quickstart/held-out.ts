// How well a model predicts text that it never saw, and that text itself, so that compression programs can be measured on
// the same bytes. The held-out text comes back from the run's own tokens: what was held out is what is measured.
import { IGNORED_TARGET, Tokenizer, TokenShards, type TextBatch } from 'hearth/data'
import type { LanguageModel } from 'hearth/models'
import { heldOutLoss } from 'hearth/train'
import { join } from 'node:path'

export interface HeldOutText {
  ids: Int32Array
  bytes: Uint8Array
}

/** The held-out text of a run's first source, as the run keeps it. */
export async function heldOutText(run: string): Promise<HeldOutText> {
  using shards = await TokenShards.open(join(run, 'tokens', '0'), 'heldout')
  const tokenizer = await Tokenizer.load(join(run, 'tokenizer'))
  const ids = new Int32Array(shards.tokens)
  shards.read(0, ids, 0, ids.length)
  return { ids, bytes: Buffer.from(tokenizer.decode(ids)) }
}

/** Sequences in one forward pass. */
const ROWS = 32

/**
 * Bits per byte over the whole text. Windows overlap by half, so every token has at least half a window before it.
 * @param length tokens of a window: those of a training sequence
 */
export async function bitsPerByte(
  model: LanguageModel,
  { ids, bytes }: HeldOutText,
  length: number,
  onProgress: (tokens: number) => void,
): Promise<number> {
  const { loss, tokens } = await heldOutLoss(model, overlappingBatches(ids, length), { onProgress })
  return (loss * tokens) / Math.LN2 / bytes.length
}

/** Batches of (ROWS, length) in which each token but the first is a target once, in the second half of its window. */
export function* overlappingBatches(ids: Int32Array, length: number): Generator<TextBatch> {
  const stride = Math.max(1, Math.floor(length / 2))
  const starts = Array.from(
    { length: Math.ceil(Math.max(1, ids.length - 1 - (length - stride)) / stride) },
    (_, i) => i * stride,
  )
  for (let first = 0; first < starts.length; first += ROWS) {
    const rows = starts.slice(first, first + ROWS)
    const inputs = new Int32Array(rows.length * length) // (rows, T)
    const targets = new Int32Array(rows.length * length).fill(IGNORED_TARGET) // (rows, T)
    rows.forEach((start, row) => {
      inputs.set(ids.subarray(start, Math.min(start + length, ids.length - 1)), row * length)
      // The first window has nothing before it: all of its tokens count there.
      const skip = start === 0 ? 0 : length - stride
      targets.set(ids.subarray(start + skip + 1, start + length + 1), row * length + skip)
    })
    yield { inputs, targets, shape: [rows.length, length] }
  }
}
