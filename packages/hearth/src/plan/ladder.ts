// Shapes for sizes that have no preset: LLaMA's form, wider and deeper together as the published models are. The answer to
// "how large can it be" is one of these, so that it can be built as it stands.
import { configure, type Preset } from '../models/index.js'

/** Width of a head where the model is wide; small models have narrower ones. */
const HEAD = 128
const VOCABULARY = 32_000
const WIDEST = 32_768

/**
 * A model of LLaMA's form (Touvron et al. 2023): heads of 128 (64 below a width of 1024), a gated feed-forward part of 8/3
 * of the width in whole multiples of 64, 32,000 tokens.
 * @throws ConfigError when there is no such shape
 */
export function shapeOf(layers: number, width: number): Preset {
  const head = width < 1024 ? HEAD / 2 : HEAD
  return configure(
    {
      model_type: 'llama',
      num_hidden_layers: layers,
      hidden_size: width,
      num_attention_heads: Math.max(1, Math.floor(width / head)),
      intermediate_size: 64 * Math.ceil((width * 8) / 3 / 64),
      vocab_size: VOCABULARY,
      max_position_embeddings: 4096,
    },
    `${layers}x${width}`,
  )
}

/** Layers that go with a width: GPT-2's 64 channels a layer at 768, LLaMA's 128 at 4096 and above. */
export function layersFor(width: number): number {
  const share = Math.log2(width / 768) / Math.log2(4096 / 768)
  return Math.max(2, Math.round(width / Math.min(128, Math.max(32, 64 + 64 * share))))
}

/** Parameters of shapeOf(layersFor(width), width), without building it. */
export function parametersOf(width: number): number {
  const feedForward = 64 * Math.ceil((width * 8) / 3 / 64)
  const layers = layersFor(width)
  return 2 * VOCABULARY * width + layers * (4 * width ** 2 + 3 * width * feedForward + 2 * width) + width
}

/** Widths of the ladder, from the smallest: steps of 64 below 1024, of 128 above. */
export const widths: readonly number[] = Array.from({ length: 15 }, (_, i) => 64 * (i + 1)).concat(
  Array.from({ length: (WIDEST - 1024) / 128 + 1 }, (_, i) => 1024 + 128 * i),
)

/** The largest width of which `fits` is true; undefined when there is none. `fits` must not become true again above. */
export function widestThat(fits: (width: number) => boolean): number | undefined {
  let [low, high] = [0, widths.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (fits(widths[middle]!)) low = middle + 1
    else high = middle
  }
  return widths[low - 1]
}
