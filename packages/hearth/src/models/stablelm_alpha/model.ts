// StableLM Alpha v2 (Stability AI 2023): GPT-NeoX's attention and a gated feed-forward part (Shazeer 2020), side by side
// behind one norm. After the authors' modeling_stablelm_alpha.py. Single-device maths.
// B batch, T new tokens, D width, H heads, E = D / H, F feed-forward width, V vocabulary.
import type { Tensor } from '@hearth/torch'
import {
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
import type { Family, ForwardOptions, ModelShape } from '../family.js'
import { countWeights } from '../weight-source.js'
import { feedForwardOf, parseConfig, toConfig, type StableLmAlphaConfig } from './config.js'
import { build, names, type StableLmAlphaBlock, type StableLmAlphaWeights } from './weights.js'

function runBlock(block: StableLmAlphaBlock, config: StableLmAlphaConfig, x: Tensor, context: RotaryContext): Tensor {
  const normed = layerNorm(block.norm, x, config.normEpsilon)
  const qkv = splitHeads(linear(block.attention.qkv, normed), config.heads) // (B, H, T, 3·E)
  const [q, k, v] = qkv.chunk(3, { dim: 3 }) as [Tensor, Tensor, Tensor] // (B, H, T, E)
  const attended = linear(block.attention.out, mergeHeads(causalAttention(q, k, v, context))) // (B, T, D)
  const [up, gate] = linear(block.feedForward.upGate, normed).chunk(2, { dim: 2 }) as [Tensor, Tensor] // (B, T, F)
  return linear(block.feedForward.down, gated('silu', gate, up), { residual: x.add(attended) }) // (B, T, D)
}

function hidden(
  weights: StableLmAlphaWeights,
  config: StableLmAlphaConfig,
  ids: Tensor,
  options: ForwardOptions = {},
): Tensor {
  const start = firstPosition(ids, scaledContextLength(config.rotary), options)
  const embedded = embedding(weights.embed, ids) // (B, T, D)
  const rotary = rotaryTables(config.rotary, start, ids.shape[1]!, embedded.dtype, embedded.device)
  const x = runBlocks(weights.blocks, embedded, options, (block, x, context) =>
    runBlock(block, config, x, { ...context, rotary }),
  )
  return layerNorm(weights.norm, x, config.normEpsilon)
}

/** A tied head is the table of token embeddings. */
const projection = (weights: StableLmAlphaWeights): Linear => weights.head ?? weights.embed // (V, D)

function shape(config: StableLmAlphaConfig): ModelShape {
  const { layers, width, heads, vocabularySize } = config
  return {
    layers,
    width,
    heads,
    keyValueHeads: heads,
    headDim: width / heads,
    feedForward: feedForwardOf(config),
    vocabularySize,
    contextLength: scaledContextLength(config.rotary),
    parameters: countWeights((source) => build(config, source)),
    embeddingParameters: config.tiedHead ? 0 : vocabularySize * width,
  }
}

export const stableLmAlpha: Family<StableLmAlphaConfig, StableLmAlphaWeights> = {
  name: 'stablelm_alpha',
  architecture: 'StableLMAlphaForCausalLM',
  names,
  parseConfig,
  toConfig,
  build,
  hidden,
  projection,
  forward: forwardOf({ hidden, projection }),
  shape,
}
