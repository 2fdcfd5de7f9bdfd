// LLaMA (Touvron et al. 2023, arXiv:2302.13971, section 2 and table 2): 4M tokens a step, AdamW with β2 0.95, cosine to a
// tenth after 2000 steps of warm-up. For clusters; the shapes are here so that a small run can start from them.
import type { RunConfigInput } from 'hearth/train'
import { sourcesOf, type Recipe } from './recipe.js'

/** Tokens the paper trained on, in steps of 4M: 1T for the two smaller, 1.4T for the two larger. */
const ONE_TRILLION = 250_000
const ONE_POINT_FOUR_TRILLION = 350_000

const llama =
  (size: string, learningRate: number, steps: number): Recipe =>
  (data): RunConfigInput => ({
    name: `llama-${size}`,
    steps,
    batch: 2048,
    slots: 2048,
    sequenceLength: 2048,
    activationCheckpointing: true,
    model: { preset: `llama-${size}` },
    tokenizer: { vocabularySize: 32_000 },
    data: { sources: sourcesOf(data), heldOutFraction: 0.001 },
    optimizer: { name: 'adamw', learningRate, weightDecay: 0.1, beta2: 0.95, clip: 1 },
    schedule: { kind: 'cosine', warmupSteps: 2000, minRatio: 0.1 },
    every: { evaluate: 1000, checkpoint: 1000 },
  })

export const llama7b = llama('7b', 3e-4, ONE_TRILLION)
export const llama13b = llama('13b', 3e-4, ONE_TRILLION)
export const llama33b = llama('33b', 1.5e-4, ONE_POINT_FOUR_TRILLION)
export const llama65b = llama('65b', 1.5e-4, ONE_POINT_FOUR_TRILLION)
