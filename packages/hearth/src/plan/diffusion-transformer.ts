// Diffusion transformers as a plan needs them: the shapes of DiT (Peebles and Xie 2023, table 1), tensor by tensor.
// Not here: computing with them. U-Nets are not transformers and have no formula as short; they are left out.
import type { PlannedModel } from './planned-model.js'

/** Layers, width, heads. */
const SIZES = { s: [12, 384, 6], b: [12, 768, 12], l: [24, 1024, 16], xl: [28, 1152, 16] } as const

/** Channels of the latent picture, and pixels of an edge for each of its cells. */
const LATENT = { channels: 4, pixels: 8, patch: 2 } as const
const CLASSES = 1000
const TIME_FEATURES = 256

/** `dit-s-2` to `dit-xl-2`. */
export const diffusionTransformerNames: readonly string[] = Object.keys(SIZES).map((size) => `dit-${size}-2`)

/** Tokens of a picture: its latent cells in patches of 2 × 2. */
export const patchesOf = (pixels: number): number => (pixels / LATENT.pixels / LATENT.patch) ** 2

/** @param name one of diffusionTransformerNames */
export function diffusionTransformer(name: string): PlannedModel {
  const [layers, width, heads] = SIZES[name.split('-')[1] as keyof typeof SIZES]
  const weights = weightsOf(layers, width)
  const elements = (pick: (path: string) => boolean) =>
    Object.entries(weights).reduce((sum, [path, shape]) => sum + (pick(path) ? shape.reduce((a, b) => a * b, 1) : 0), 0)
  return {
    name,
    modality: 'image',
    weights,
    shape: {
      ...{ layers, width, heads, keyValueHeads: heads, headDim: width / heads, feedForward: 4 * width },
      vocabularySize: 0,
      contextLength: patchesOf(2048),
      parameters: elements(() => true),
      // Modulation and the embeddings of time and class act once a picture, positions are added.
      embeddingParameters: elements((path) => /modulation|time|class|position/.test(path)),
    },
    feedForwardMatrices: 2,
    leftOut: 'modulation and embeddings, which act once a picture',
  }
}

function weightsOf(layers: number, d: number): Record<string, readonly number[]> {
  const weights: Record<string, readonly number[]> = {}
  const linear = (path: string, inputs: number, outputs: number) => {
    weights[`${path}.weight`] = [outputs, inputs]
    weights[`${path}.bias`] = [outputs]
  }
  const { channels, patch } = LATENT
  linear('patches', channels * patch ** 2, d)
  weights.position = [patchesOf(256), d]
  linear('time.0', TIME_FEATURES, d)
  linear('time.1', d, d)
  // One more than classes: none at all, for guidance.
  weights['class.weight'] = [CLASSES + 1, d]
  for (let layer = 0; layer < layers; layer++) {
    const block = `blocks.${layer}`
    linear(`${block}.modulation`, d, 6 * d)
    linear(`${block}.attention.in`, d, 3 * d)
    linear(`${block}.attention.out`, d, d)
    linear(`${block}.feedForward.in`, d, 4 * d)
    linear(`${block}.feedForward.out`, 4 * d, d)
  }
  linear('modulation', d, 2 * d)
  // Noise and its variance.
  linear('out', d, 2 * channels * patch ** 2)
  return weights
}
