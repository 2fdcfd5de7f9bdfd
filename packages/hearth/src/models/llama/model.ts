// LLaMA (Touvron et al. 2023) and its descendants with grouped keys and stretched rotary positions: RMS norms before
// each part, rotary positions, a gated feed-forward part (Shazeer 2020). Single-device maths.
// B batch, T new tokens, D width, H heads, K key/value heads, E width of a head, F feed-forward width, V vocabulary.
import type { Tensor } from '@hearth/torch'
import {
  addRmsNorm,
  embedding,
  gated,
  linear,
  rmsNorm,
  rotaryTables,
  scaledContextLength,
  type Linear,
} from '../../nn/index.js'
import { firstPosition, forwardOf, runBlocks, type RotaryContext } from '../decoder.js'
import type { Family, ForwardOptions, ModelShape } from '../family.js'
import { countWeights } from '../weight-source.js'
import { selfAttention } from './attention.js'
import { parseConfig, toConfig, type LlamaConfig } from './config.js'
import { build, names, type LlamaBlock, type LlamaWeights } from './weights.js'

function runBlock(block: LlamaBlock, config: LlamaConfig, x: Tensor, context: RotaryContext): Tensor {
  const { gate, up, down } = block.feedForward
  const attended = selfAttention(block.attention, config, rmsNorm(block.attentionNorm, x, config.normEpsilon), context)
  const { sum, normed } = addRmsNorm(block.feedForwardNorm, x, attended, config.normEpsilon)
  const middle = gated(config.activation, linear(gate, normed), linear(up, normed)) // (B, T, F)
  return linear(down, middle, { residual: sum }) // (B, T, F) → (B, T, D)
}

function hidden(weights: LlamaWeights, config: LlamaConfig, ids: Tensor, options: ForwardOptions = {}): Tensor {
  const start = firstPosition(ids, scaledContextLength(config.rotary), options)
  const embedded = embedding(weights.embed, ids) // (B, T, D)
  const rotary = rotaryTables(config.rotary, start, ids.shape[1]!, embedded.dtype, embedded.device)
  const x = runBlocks(weights.blocks, embedded, options, (block, x, context) =>
    runBlock(block, config, x, { ...context, rotary }),
  )
  return rmsNorm(weights.norm, x, config.normEpsilon)
}

/** A tied head is the table of token embeddings. */
const projection = (weights: Pick<LlamaWeights, 'head' | 'embed'>): Linear => weights.head ?? weights.embed // (V, D)

/** @param parameters counted */
export function llamaShape(config: LlamaConfig, parameters: number): ModelShape {
  const { layers, width, heads, keyValueHeads, headDim, feedForward, vocabularySize, windows } = config
  return {
    layers,
    width,
    heads,
    keyValueHeads,
    headDim,
    feedForward,
    vocabularySize,
    contextLength: scaledContextLength(config.rotary),
    parameters,
    embeddingParameters: config.tiedHead ? 0 : vocabularySize * width,
    windows,
  }
}

/** A family whose maths is LLaMA's: it differs in its configuration alone. */
export function llamaFamily(
  own: Pick<Family<LlamaConfig, LlamaWeights>, 'name' | 'architecture' | 'parseConfig' | 'toConfig'>,
): Family<LlamaConfig, LlamaWeights> {
  return {
    ...own,
    names,
    build,
    hidden,
    projection,
    forward: forwardOf({ hidden, projection }),
    shape: (config) =>
      llamaShape(
        config,
        countWeights((source) => build(config, source)),
      ),
  }
}

export const llama = llamaFamily({ name: 'llama', architecture: 'LlamaForCausalLM', parseConfig, toConfig })
