// GPT-2 from scratch. Shapes are the published ones; the paper does not give its optimizer, so the rest is the
// reproduction that the field measures itself against (nanoGPT, train_gpt2.py): half a million tokens a step.
import type { RunConfigInput } from 'hearth/train'
import { sourcesOf } from './recipe.js'

/** GPT-2 124M: 0.5M tokens a step. With no tokenizer given, one of GPT-2's size is trained on the data. */
export function gpt2(data: readonly string[]): RunConfigInput {
  return {
    name: 'gpt2-124m',
    steps: 600_000,
    batch: 480,
    // Four sequences at a time: what fits a laptop. More memory: fewer slots.
    slots: 120,
    sequenceLength: 1024,
    model: { preset: 'gpt2-124m' },
    tokenizer: { vocabularySize: 50_257 },
    data: { sources: sourcesOf(data), heldOutFraction: 0.005 },
    optimizer: { name: 'adamw', learningRate: 6e-4, weightDecay: 0.1, beta2: 0.95, clip: 1 },
    schedule: { kind: 'cosine', warmupSteps: 2000, minRatio: 0.1 },
    every: { evaluate: 1000, checkpoint: 1000 },
  }
}

const sized =
  (preset: string, learningRate: number) =>
  (data: readonly string[]): RunConfigInput => {
    const base = gpt2(data)
    return { ...base, name: preset, model: { preset }, optimizer: { ...base.optimizer, learningRate } }
  }

// Learning rates by size as in the GPT-3 paper (table 2.1), which tuned them for these shapes.
export const gpt2Medium = sized('gpt2-355m', 3e-4)
export const gpt2Large = sized('gpt2-774m', 2.5e-4)
export const gpt2Xl = sized('gpt2-1558m', 2e-4)
