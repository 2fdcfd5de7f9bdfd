// Pythia (Biderman et al. 2023, arXiv:2304.01373): GPT-NeoX models of many sizes trained alike. The settings are those of
// the suite's own configuration files: 1024 sequences of 2048 tokens a step, 143,000 steps, AdamW, cosine to a tenth.
import type { RunConfigInput } from 'hearth/train'
import { sourcesOf, type Recipe } from './recipe.js'

const pythia =
  (size: string, learningRate: number): Recipe =>
  (data): RunConfigInput => ({
    name: `pythia-${size}`,
    steps: 143_000,
    batch: 1024,
    slots: 512,
    sequenceLength: 2048,
    activationCheckpointing: true,
    model: { preset: `pythia-${size}` },
    tokenizer: { vocabularySize: 50_254 },
    data: { sources: sourcesOf(data), heldOutFraction: 0.001 },
    optimizer: { name: 'adamw', learningRate, weightDecay: 0.1, beta2: 0.95, clip: 1 },
    // Warm-up is 1 % of the steps.
    schedule: { kind: 'cosine', warmupSteps: 1430, minRatio: 0.1 },
    every: { evaluate: 1000, checkpoint: 1000 },
  })

export const pythia14m = pythia('14m', 1e-3)
export const pythia31m = pythia('31m', 1e-3)
export const pythia70m = pythia('70m', 1e-3)
export const pythia160m = pythia('160m', 6e-4)
export const pythia410m = pythia('410m', 3e-4)
export const pythia1b = pythia('1b', 2.5e-4)
export const pythia1_4b = pythia('1.4b', 2e-4)
export const pythia2_8b = pythia('2.8b', 1.6e-4)
export const pythia6_9b = pythia('6.9b', 1.2e-4)
export const pythia12b = pythia('12b', 1.2e-4)
