// LLaMA (Touvron et al. 2023) and its descendants with grouped keys and stretched rotary positions: RMS norms before
// each part, rotary positions, a gated feed-forward part (Shazeer 2020). Single-device maths.
// B batch, T new tokens, S tokens so far, D width, H heads, K key/value heads, E width of a head, F feed-forward width,
// V vocabulary.
import type { Tensor } from '@hearth/torch'
import {
  addRmsNorm,
  embedding,
  gated,
  linear,
  mergeHeads,
  rmsNorm,
  rotaryTables,
  scaledContextLength,
  splitHeads,
  type Linear,
} from '../../nn/index.js'
import { firstPosition, forwardOf, rotaryAttention, runBlocks, type RotaryContext } from '../decoder.js'
import type { Family, ForwardOptions, ModelShape } from '../family.js'
import { countWeights } from '../weight-source.js'
import { parseConfig, toConfig, type LlamaConfig } from './config.js'
import { build, names, type LlamaBlock, type LlamaWeights } from './weights.js'

function selfAttention({ attention: w }: LlamaBlock, config: LlamaConfig, x: Tensor, context: RotaryContext): Tensor {
  const q = splitHeads(linear(w.query, x), config.heads) // (B, H, T, E)
  const k = splitHeads(linear(w.key, x), config.keyValueHeads) // (B, K, T, E)
  const v = splitHeads(linear(w.value, x), config.keyValueHeads) // (B, K, T, E)
  const attended = rotaryAttention(q, k, v, context) // (B, H, T, E)
  return linear(w.out, mergeHeads(attended)) // (B, T, H·E) → (B, T, D)
}

/** The feed-forward part of x, added to the residual stream. */
function feedForward({ feedForward: w }: LlamaBlock, config: LlamaConfig, x: Tensor, residual: Tensor): Tensor {
  const middle = gated(config.activation, linear(w.gate, x), linear(w.up, x)) // (B, T, F)
  return linear(w.down, middle, { residual }) // (B, T, F) → (B, T, D)
}

function runBlock(block: LlamaBlock, config: LlamaConfig, x: Tensor, context: RotaryContext): Tensor {
  const attended = selfAttention(block, config, rmsNorm(block.attentionNorm, x, config.normEpsilon), context)
  const { sum, normed } = addRmsNorm(block.feedForwardNorm, x, attended, config.normEpsilon)
  return feedForward(block, config, normed, sum)
}

function hidden(weights: LlamaWeights, config: LlamaConfig, ids: Tensor, options: ForwardOptions = {}): Tensor {
  const start = firstPosition(ids, scaledContextLength(config.rotary), options.cache)
  const embedded = embedding(weights.embed, ids) // (B, T, D)
  const rotary = rotaryTables(config.rotary, start, ids.shape[1]!, embedded.dtype, embedded.device)
  const x = runBlocks(weights.blocks, embedded, options, (block, x, context) =>
    runBlock(block, config, x, { ...context, rotary }),
  )
  return rmsNorm(weights.norm, x, config.normEpsilon)
}

/** A tied head is the table of token embeddings. */
const projection = (weights: LlamaWeights): Linear => weights.head ?? weights.embed // (V, D)

function shape(config: LlamaConfig): ModelShape {
  const { layers, width, heads, keyValueHeads, headDim, feedForward, vocabularySize } = config
  return {
    layers,
    width,
    heads,
    keyValueHeads,
    headDim,
    feedForward,
    vocabularySize,
    contextLength: scaledContextLength(config.rotary),
    parameters: countWeights((source) => build(config, source)),
    embeddingParameters: config.tiedHead ? 0 : vocabularySize * width,
  }
}

export const llama: Family<LlamaConfig, LlamaWeights> = {
  name: 'llama',
  architecture: 'LlamaForCausalLM',
  names,
  parseConfig,
  toConfig,
  build,
  hidden,
  projection,
  forward: forwardOf({ hidden, projection }),
  shape,
}
