// GPT-2 (Radford et al. 2019), and GPT-3's dense layers (Brown et al. 2020): learned positions, norms before each part,
// a tied head. Single-device maths; configuration and weights are next door.
// B batch, T new tokens, S tokens so far, D width, H heads, E = D / H, F feed-forward width, V vocabulary.
import type { Tensor } from '@hearth/torch'
import {
  activate,
  addLayerNorm,
  attention,
  embedding,
  layerNorm,
  linear,
  mergeHeads,
  splitHeads,
  type Linear,
  withoutBias,
} from '../../nn/index.js'
import { firstPosition, forwardOf, runBlocks, type BlockContext } from '../decoder.js'
import type { Family, ForwardOptions, ModelShape } from '../family.js'
import { countWeights } from '../weight-source.js'
import { parseConfig, toConfig, type Gpt2Config } from './config.js'
import { build, names, type Gpt2Block, type Gpt2Weights } from './weights.js'

function selfAttention(
  { attention: w }: Gpt2Block,
  config: Gpt2Config,
  x: Tensor,
  { layer, cache }: BlockContext,
): Tensor {
  const qkv = linear(w.qkv, x) // (B, T, 3·D)
  const [q, k, v] = qkv.chunk(3, { dim: 2 }).map((part) => splitHeads(part, config.heads)) as [Tensor, Tensor, Tensor] // (B, H, T, E)
  const [keys, values] = cache ? cache.append(layer, k, v) : [k, v] // (B, H, S, E)
  const scores = config.scaleScores ? Math.sqrt(config.width / config.heads) : 1
  const scale = 1 / scores / (config.scaleScoresByLayer ? layer + 1 : 1)
  return linear(w.out, mergeHeads(attention(q, keys, values, { causal: true, scale }))) // (B, T, D)
}

/** The feed-forward part of x, added to the residual stream. */
function feedForward({ feedForward: w }: Gpt2Block, config: Gpt2Config, x: Tensor, residual: Tensor): Tensor {
  const { bias } = w.up // the bias is added on the way through the activation
  const middle = activate(config.activation, linear(withoutBias(w.up), x), bias) // (B, T, F)
  return linear(w.down, middle, { residual }) // (B, T, F) → (B, T, D)
}

function runBlock(block: Gpt2Block, config: Gpt2Config, x: Tensor, context: BlockContext): Tensor {
  const attended = selfAttention(block, config, layerNorm(block.attentionNorm, x, config.normEpsilon), context)
  const { sum, normed } = addLayerNorm(block.feedForwardNorm, x, attended, config.normEpsilon)
  return feedForward(block, config, normed, sum)
}

function hidden(weights: Gpt2Weights, config: Gpt2Config, ids: Tensor, options: ForwardOptions = {}): Tensor {
  const start = firstPosition(ids, config.contextLength, options.cache)
  const positions = weights.positions.weight.narrow(0, start, ids.shape[1]!) // (T, D)
  const embedded = embedding(weights.embed, ids).add(positions) // (B, T, D)
  const x = runBlocks(weights.blocks, embedded, options, (block, x, context) => runBlock(block, config, x, context))
  return layerNorm(weights.norm, x, config.normEpsilon)
}

/** A tied head is the table of token embeddings. */
const projection = (weights: Gpt2Weights): Linear => weights.head ?? weights.embed // (V, D)

function shape(config: Gpt2Config): ModelShape {
  const { layers, width, heads, contextLength, vocabularySize, tiedHead } = config
  const lookups = tiedHead ? contextLength : contextLength + vocabularySize
  return {
    layers,
    width,
    heads,
    keyValueHeads: heads,
    headDim: width / heads,
    feedForward: config.feedForward,
    vocabularySize,
    contextLength,
    parameters: countWeights((source) => build(config, source)),
    embeddingParameters: lookups * width,
  }
}

export const gpt2: Family<Gpt2Config, Gpt2Weights> = {
  name: 'gpt2',
  architecture: 'GPT2LMHeadModel',
  names,
  parseConfig,
  toConfig,
  build,
  hidden,
  projection,
  forward: forwardOf({ hidden, projection }),
  shape,
}
