// A tiny run for tests of ranks, and what its end comes to.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { resolveConfig, type RunConfig, type RunConfigInput } from '../src/train/index.js'

export const STEPS = 10

/** Writes a text to train on; gives its path. */
export function writeTexts(folder: string): string {
  const words = 'the a fire log ash ember spark burns glows falls warm cold night morning and'.split(' ')
  const text = (row: number) =>
    Array.from({ length: 60 }, (_, i) => words[(row * 7 + i * i * 3) % words.length]).join(' ')
  const path = join(folder, 'texts.jsonl')
  writeFileSync(path, Array.from({ length: 80 }, (_, row) => JSON.stringify({ text: text(row) })).join('\n'))
  return path
}

/** @param texts of writeTexts() */
export function tinyConfig(name: string, texts: string, changes: Partial<RunConfigInput> = {}): RunConfig {
  const sizes = { hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1 }
  return resolveConfig({
    ...{ name, steps: STEPS, batch: 4, slots: 4, sequenceLength: 16, dtype: 'float32' },
    model: { preset: 'spark', config: { ...sizes, intermediate_size: 640 } },
    tokenizer: { vocabularySize: 300 },
    data: { sources: [{ path: texts }], heldOutFraction: 0.2 },
    optimizer: { learningRate: 3e-3 },
    schedule: { warmupSteps: 2 },
    every: { log: 1, evaluate: 5, checkpoint: 4 },
    ...changes,
  })
}

/** Names the bits of the model that a run ended with. */
export const modelHash = (dir: string): string =>
  createHash('sha256')
    .update(readFileSync(join(dir, 'model/model.safetensors')))
    .digest('hex')
