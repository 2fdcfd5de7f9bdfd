// Arrangements of numbers that differ between Hugging Face's files and GGUF files.
// H heads, E width of a head, D width.
import type { Change } from './architecture.js'

/**
 * LLaMA's queries and keys: rotary positions turn pairs of dimensions, and Hugging Face's layout pairs i with i + E/2
 * where llama.cpp's pairs 2·i with 2·i + 1. The rows of each head are reordered, and those of its bias.
 */
const rotaryPairs = (heads: 'heads' | 'keyValueHeads'): Change => ({
  toGguf: (x, sizes) => {
    const [rows, ...rest] = x.shape as [number, ...number[]] // (H·E, D) or (H·E)
    const half = rows / sizes[heads] / 2
    return x
      .reshape([sizes[heads], 2, half, ...rest])
      .transpose(1, 2)
      .reshape(x.shape) // (H, E/2, 2, …)
  },
  toHuggingFace: (x, sizes) => {
    const [rows, ...rest] = x.shape as [number, ...number[]]
    const half = rows / sizes[heads] / 2
    return x
      .reshape([sizes[heads], half, 2, ...rest])
      .transpose(1, 2)
      .reshape(x.shape) // (H, 2, E/2, …)
  },
})

export const rotaryQueries = rotaryPairs('heads')
export const rotaryKeys = rotaryPairs('keyValueHeads')

/** GPT-NeoX keeps the queries, keys and values of each head together; GGUF all queries, then all keys, then all values. */
export const fusedHeads: Change = {
  toGguf: (x, { heads }) => {
    const [rows, ...rest] = x.shape as [number, ...number[]] // (H·3·E, D) or (H·3·E)
    return x
      .reshape([heads, 3, rows / heads / 3, ...rest])
      .transpose(0, 1)
      .reshape(x.shape) // (3, H, E, …)
  },
  toHuggingFace: (x, { heads }) => {
    const [rows, ...rest] = x.shape as [number, ...number[]]
    return x
      .reshape([3, heads, rows / heads / 3, ...rest])
      .transpose(0, 1)
      .reshape(x.shape) // (H, 3, E, …)
  },
}

/** GPT-2's Conv1D holds (in, out). */
export const conv1d: Change = {
  toGguf: (x) => (x.shape.length === 2 ? x.t() : x),
  toHuggingFace: (x) => (x.shape.length === 2 ? x.t() : x),
  transposes: true,
}
