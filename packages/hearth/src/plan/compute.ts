// Floating-point operations of training, and what they take of a device: the compute part of a plan.
import { flopsPerToken } from '../train/index.js'
import type { PlannedModel } from './planned-model.js'

/** Which parameters count as products. */
export type CountedParameters = 'products' | 'all'

/** The conventions, by their name: published figures differ in them. */
export const flopConventions: Readonly<Record<CountedParameters, string>> = {
  products:
    '6 (N - what no product of a token touches) + 12 L d T operations a token, without recomputation (Kaplan et al. 2020; PaLM, appendix B)',
  all: '6 N + 12 L d T operations a token with every parameter in N, without recomputation (MPT)',
}

/**
 * Operations of training on one token of a sample of `length`: 6 N + 12 L d T.
 * @param counted `products` leaves out lookup tables and what acts once a sample
 */
export function trainingFlops(
  { shape }: PlannedModel,
  length: number,
  counted: CountedParameters = 'products',
): number {
  return flopsPerToken({ ...shape, embeddingParameters: counted === 'all' ? 0 : shape.embeddingParameters }, length)
}

/** Share of the peak that a speed is: the utilisation (MFU). */
export function utilisation(options: {
  flopsPerToken: number
  tokensPerSecond: number
  /** FLOP/s. */
  peak: number
}): number {
  return (options.flopsPerToken * options.tokensPerSecond) / options.peak
}

/** Device-hours of a training at a fixed share of the peak. */
export function deviceHours(options: { flops: number; /** FLOP/s. */ peak: number; efficiency: number }): number {
  return options.flops / (options.peak * options.efficiency) / 3600
}

/**
 * Tokens for which a model of N parameters is the best that its compute can train: 20 each (Hoffmann et al. 2022, table 3,
 * first approach: 20.0 at 400M, 20.2 at 1B, 20.5 at 10B, 21.1 at 175B).
 */
export const OPTIMAL_TOKENS_PER_PARAMETER = 20
