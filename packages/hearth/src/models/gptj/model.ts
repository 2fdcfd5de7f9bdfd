// GPT-J (Wang, Komatsuzaki 2021, EleutherAI): attention and feed-forward part side by side behind one norm, rotary
// positions whose pairs are neighbours, a head with a bias. Single-device maths.
// B batch, T new tokens, D width, H heads, E = D / H, R dimensions of a head that turn, F feed-forward width, V vocabulary.
import { cat, type Tensor } from '@hearth/torch'
import {
  activate,
  dropout,
  embedding,
  layerNorm,
  linear,
  mergeHeads,
  rotaryTables,
  splitHeads,
  withoutBias,
  type Linear,
} from '../../nn/index.js'
import { causalAttention, firstPosition, forwardOf, runBlocks, type RotaryContext } from '../decoder.js'
import { addLinear, dropoutOf } from '../dropout.js'
import type { Family, ForwardOptions, ModelShape } from '../family.js'
import { countWeights } from '../weight-source.js'
import { parseConfig, toConfig, type GptJConfig } from './config.js'
import { build, names, type GptJBlock, type GptJWeights } from './weights.js'

/**
 * GPT-J turns dimension 2i with 2i + 1; our rotary positions turn i with i + R/2. Scores do not change when the dimensions
 * of queries and keys change places together, so the first of each pair are put before the second.
 * @param x (B, H, T, E)
 */
function halvesOfPairs(x: Tensor, dims: number): Tensor {
  const pairs = x.narrow(3, 0, dims).unflatten(3, [dims / 2, 2]) // (B, H, T, R/2, 2)
  const halves = pairs.transpose(3, 4).flatten({ startDim: 3 }) // (B, H, T, R)
  return cat([halves, x.narrow(3, dims, x.shape[3]! - dims)], { dim: 3 }) // (B, H, T, E)
}

function selfAttention({ attention: w }: GptJBlock, config: GptJConfig, x: Tensor, context: RotaryContext): Tensor {
  const part = (weights: Linear) => splitHeads(linear(weights, x), config.heads) // (B, H, T, E)
  const [q, k] = [w.query, w.key].map((weights) => halvesOfPairs(part(weights), config.rotary.dims)) as [Tensor, Tensor]
  const attended = causalAttention(q, k, part(w.value), context, {
    dropout: context.dropout('attention', config.dropout.attention),
  }) // (B, H, T, E)
  return dropout(linear(w.out, mergeHeads(attended)), context.dropout('attentionOut', config.dropout.residual)) // (B, T, D)
}

function runBlock(block: GptJBlock, config: GptJConfig, x: Tensor, context: RotaryContext): Tensor {
  const { up, down } = block.feedForward
  const normed = layerNorm(block.norm, x, config.normEpsilon)
  const attended = selfAttention(block, config, normed, context)
  // The bias is added on the way through the activation.
  const middle = activate(config.activation, linear(withoutBias(up), normed), up.bias) // (B, T, F)
  return addLinear(down, middle, x.add(attended), context.dropout('feedForward', config.dropout.residual)) // (B, T, D)
}

function hidden(weights: GptJWeights, config: GptJConfig, ids: Tensor, options: ForwardOptions = {}): Tensor {
  const start = firstPosition(ids, config.rotary.contextLength, options)
  const forget = dropoutOf(options.dropoutSeed, -1)('embedding', config.dropout.embedding)
  const embedded = dropout(embedding(weights.embed, ids), forget) // (B, T, D)
  const rotary = rotaryTables(config.rotary, start, ids.shape[1]!, embedded.dtype, embedded.device)
  const x = runBlocks(weights.blocks, embedded, options, (block, x, context) =>
    runBlock(block, config, x, { ...context, rotary }),
  )
  return layerNorm(weights.norm, x, config.normEpsilon)
}

const projection = (weights: GptJWeights): Linear => weights.head // (V, D)

function shape(config: GptJConfig): ModelShape {
  const { layers, width, heads, feedForward, vocabularySize } = config
  return {
    layers,
    width,
    heads,
    keyValueHeads: heads,
    headDim: width / heads,
    feedForward,
    vocabularySize,
    contextLength: config.rotary.contextLength,
    parameters: countWeights((source) => build(config, source)),
    embeddingParameters: vocabularySize * width,
  }
}

export const gptJ: Family<GptJConfig, GptJWeights> = {
  name: 'gptj',
  architecture: 'GPTJForCausalLM',
  names,
  parseConfig,
  toConfig,
  build,
  hidden,
  projection,
  forward: forwardOf({ hidden, projection }),
  shape,
}
