// StableLM 3B-4E1T and StableLM 2 (Tow et al. 2023; Bellagente et al. 2024, arXiv:2402.17834): LLaMA with layer norms
// and a part of each head that turns; the 12B has norms for each head's queries and keys, and its two parts side by side.
// B batch, T new tokens, D width, H heads, K key/value heads, E width of a head, F feed-forward width, V vocabulary.
import { layerNorm as plainLayerNorm, stack, type Tensor } from '@hearth/torch'
import {
  addLayerNorm,
  embedding,
  gated,
  layerNorm,
  linear,
  mergeHeads,
  rotaryTables,
  scaledContextLength,
  splitHeads,
  type Linear,
} from '../../nn/index.js'
import { causalAttention, firstPosition, forwardOf, runBlocks, type RotaryContext } from '../decoder.js'
import { addLinear } from '../dropout.js'
import type { Family, ForwardOptions, ModelShape } from '../family.js'
import { countWeights } from '../weight-source.js'
import { parseConfig, toConfig, type StableLmConfig } from './config.js'
import { build, names, type HeadNorm, type StableLmBlock, type StableLmWeights } from './weights.js'

/** Each head by its own norm, x (B, H, T, E); x itself where there are none. */
function normHeads(norms: readonly HeadNorm[] | undefined, x: Tensor, eps: number): Tensor {
  if (norms === undefined) return x
  const weight = stack(norms.map((norm) => norm.weight)).unsqueeze(1) // (H, 1, E)
  return plainLayerNorm(x, [x.shape[3]!], { eps }).mul(weight)
}

function selfAttention(
  { attention: w }: StableLmBlock,
  config: StableLmConfig,
  x: Tensor,
  context: RotaryContext,
): Tensor {
  const { heads, keyValueHeads, normEpsilon } = config
  const q = normHeads(w.queryNorm, splitHeads(linear(w.query, x), heads), normEpsilon) // (B, H, T, E)
  const k = normHeads(w.keyNorm, splitHeads(linear(w.key, x), keyValueHeads), normEpsilon) // (B, K, T, E)
  const v = splitHeads(linear(w.value, x), keyValueHeads) // (B, K, T, E)
  const attended = causalAttention(q, k, v, context, {
    dropout: context.dropout('attention', config.attentionDropout),
  }) // (B, H, T, E)
  return linear(w.out, mergeHeads(attended)) // (B, T, D)
}

function runBlock(block: StableLmBlock, config: StableLmConfig, x: Tensor, context: RotaryContext): Tensor {
  const { gate, up, down } = block.feedForward
  /** The feed-forward part of y, added to the residual stream. */
  const feedForward = (y: Tensor, residual: Tensor) => {
    const middle = gated(config.activation, linear(gate, y), linear(up, y)) // (B, T, F)
    return addLinear(down, middle, residual, context.dropout('feedForward', config.hiddenDropout)) // (B, T, D)
  }
  const first = layerNorm(block.attentionNorm, x, config.normEpsilon)
  const attended = selfAttention(block, config, first, context)
  if (block.feedForwardNorm === undefined) return feedForward(first, x.add(attended))
  const { sum, normed } = addLayerNorm(block.feedForwardNorm, x, attended, config.normEpsilon)
  return feedForward(normed, sum)
}

function hidden(weights: StableLmWeights, config: StableLmConfig, ids: Tensor, options: ForwardOptions = {}): Tensor {
  const start = firstPosition(ids, scaledContextLength(config.rotary), options)
  const embedded = embedding(weights.embed, ids) // (B, T, D)
  const rotary = rotaryTables(config.rotary, start, ids.shape[1]!, embedded.dtype, embedded.device)
  const x = runBlocks(weights.blocks, embedded, options, (block, x, context) =>
    runBlock(block, config, x, { ...context, rotary }),
  )
  return layerNorm(weights.norm, x, config.normEpsilon)
}

/** A tied head is the table of token embeddings. */
const projection = (weights: StableLmWeights): Linear => weights.head ?? weights.embed // (V, D)

function shape(config: StableLmConfig): ModelShape {
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

export const stableLm: Family<StableLmConfig, StableLmWeights> = {
  name: 'stablelm',
  architecture: 'StableLmForCausalLM',
  otherNames: ['stablelm_epoch', 'StableLMEpochForCausalLM', 'StableLMForCausalLM'],
  names,
  parseConfig,
  toConfig,
  build,
  hidden,
  projection,
  forward: forwardOf({ hidden, projection }),
  shape,
}
