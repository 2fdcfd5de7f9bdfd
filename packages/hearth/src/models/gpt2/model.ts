// GPT-2 (Radford et al. 2019): learned positions, norms before each part, a tied head. Single-device maths;
// configuration and weights are next door. GPT-3 (../gpt3) is this one with windows.
// B batch, T new tokens, S tokens so far, D width, H heads, E = D / H, F feed-forward width, V vocabulary.
import type { Tensor } from '@hearth/torch'
import {
  activate,
  addLayerNorm,
  dropout,
  embedding,
  layerNorm,
  linear,
  mergeHeads,
  splitHeads,
  type Linear,
  withoutBias,
} from '../../nn/index.js'
import {
  causalAttention,
  firstPosition,
  forwardOf,
  learnedPositions,
  runBlocks,
  type BlockContext,
} from '../decoder.js'
import { addLinear, dropoutOf } from '../dropout.js'
import type { Family, ForwardOptions, ModelShape } from '../family.js'
import { countWeights } from '../weight-source.js'
import { parseConfig, toConfig, type Gpt2Config } from './config.js'
import { build, names, type Gpt2Block, type Gpt2Weights } from './weights.js'

function selfAttention({ attention: w }: Gpt2Block, config: Gpt2Config, x: Tensor, context: BlockContext): Tensor {
  const { layer, dropout: forget } = context
  const qkv = linear(w.qkv, x) // (B, T, 3·D)
  const [q, k, v] = qkv.chunk(3, { dim: 2 }).map((part) => splitHeads(part, config.heads)) as [Tensor, Tensor, Tensor] // (B, H, T, E)
  const scores = config.scaleScores ? Math.sqrt(config.width / config.heads) : 1
  const attended = causalAttention(q, k, v, context, {
    scale: 1 / scores / (config.scaleScoresByLayer ? layer + 1 : 1),
    window: config.windows[layer] ?? 0,
    dropout: forget('attention', config.dropout.attention),
  }) // (B, H, T, E)
  return dropout(linear(w.out, mergeHeads(attended)), forget('attentionOut', config.dropout.residual)) // (B, T, D)
}

function runBlock(block: Gpt2Block, config: Gpt2Config, x: Tensor, context: BlockContext): Tensor {
  const { up, down } = block.feedForward
  const attended = selfAttention(block, config, layerNorm(block.attentionNorm, x, config.normEpsilon), context)
  const { sum, normed } = addLayerNorm(block.feedForwardNorm, x, attended, config.normEpsilon)
  // The bias is added on the way through the activation.
  const middle = activate(config.activation, linear(withoutBias(up), normed), up.bias) // (B, T, F)
  return addLinear(down, middle, sum, context.dropout('feedForward', config.dropout.residual)) // (B, T, D)
}

function hidden(weights: Gpt2Weights, config: Gpt2Config, ids: Tensor, options: ForwardOptions = {}): Tensor {
  const start = firstPosition(ids, config.contextLength, options)
  const positions = learnedPositions(weights.positions, start, ids.shape[1]!, options.documents) // (T, D)
  const forget = dropoutOf(options.dropoutSeed, -1)('embedding', config.dropout.embedding)
  const embedded = dropout(embedding(weights.embed, ids).add(positions), forget) // (B, T, D)
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
    windows: config.windows,
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
