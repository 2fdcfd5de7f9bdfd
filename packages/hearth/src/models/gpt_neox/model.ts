// GPT-NeoX (Black et al. 2022), the architecture of GPT-NeoX-20B and Pythia: a part of each head turns by rotary
// positions, attention and feed-forward part run side by side. Single-device maths.
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
  rotaryTables,
  scaledContextLength,
  splitHeads,
  type Linear,
  withoutBias,
} from '../../nn/index.js'
import { causalAttention, firstPosition, forwardOf, runBlocks, type RotaryContext } from '../decoder.js'
import { addLinear, dropoutOf } from '../dropout.js'
import type { Family, ForwardOptions, ModelShape } from '../family.js'
import { countWeights } from '../weight-source.js'
import { parseConfig, toConfig, type GptNeoxConfig } from './config.js'
import { build, names, type GptNeoxBlock, type GptNeoxWeights } from './weights.js'

function selfAttention(
  { attention: w }: GptNeoxBlock,
  config: GptNeoxConfig,
  x: Tensor,
  context: RotaryContext,
): Tensor {
  const qkv = splitHeads(linear(w.qkv, x), config.heads) // (B, H, T, 3·E)
  const [q, k, v] = qkv.chunk(3, { dim: 3 }) as [Tensor, Tensor, Tensor] // (B, H, T, E)
  const attended = causalAttention(q, k, v, context, {
    dropout: context.dropout('attention', config.attentionDropout),
  }) // (B, H, T, E)
  return dropout(linear(w.out, mergeHeads(attended)), context.dropout('attentionOut', config.hiddenDropout)) // (B, T, D)
}

function runBlock(block: GptNeoxBlock, config: GptNeoxConfig, x: Tensor, context: RotaryContext): Tensor {
  const { up, down } = block.feedForward
  /** The feed-forward part of y, added to the residual stream. */
  const feedForward = (y: Tensor, residual: Tensor) => {
    // The bias is added on the way through the activation.
    const middle = activate(config.activation, linear(withoutBias(up), y), up.bias) // (B, T, F)
    return addLinear(down, middle, residual, context.dropout('feedForward', config.hiddenDropout)) // (B, T, D)
  }
  const attended = selfAttention(block, config, layerNorm(block.attentionNorm, x, config.normEpsilon), context)
  if (config.parallelResidual)
    return feedForward(layerNorm(block.feedForwardNorm, x, config.normEpsilon), x.add(attended))
  const { sum, normed } = addLayerNorm(block.feedForwardNorm, x, attended, config.normEpsilon)
  return feedForward(normed, sum)
}

function hidden(weights: GptNeoxWeights, config: GptNeoxConfig, ids: Tensor, options: ForwardOptions = {}): Tensor {
  const start = firstPosition(ids, scaledContextLength(config.rotary), options)
  const forget = dropoutOf(options.dropoutSeed, -1)('embedding', config.hiddenDropout)
  const embedded = dropout(embedding(weights.embed, ids), forget) // (B, T, D)
  const rotary = rotaryTables(config.rotary, start, ids.shape[1]!, embedded.dtype, embedded.device)
  const x = runBlocks(weights.blocks, embedded, options, (block, x, context) =>
    runBlock(block, config, x, { ...context, rotary }),
  )
  return layerNorm(weights.norm, x, config.normEpsilon)
}

/** A tied head is the table of token embeddings. */
const projection = (weights: GptNeoxWeights): Linear => weights.head ?? weights.embed // (V, D)

function shape(config: GptNeoxConfig): ModelShape {
  const { layers, width, heads, feedForward, vocabularySize } = config
  return {
    layers,
    width,
    heads,
    keyValueHeads: heads,
    headDim: width / heads,
    feedForward,
    vocabularySize,
    contextLength: scaledContextLength(config.rotary),
    parameters: countWeights((source) => build(config, source)),
    embeddingParameters: config.tiedHead ? 0 : vocabularySize * width,
  }
}

export const gptNeox: Family<GptNeoxConfig, GptNeoxWeights> = {
  name: 'gpt_neox',
  architecture: 'GPTNeoXForCausalLM',
  names,
  parseConfig,
  toConfig,
  build,
  hidden,
  projection,
  forward: forwardOf({ hidden, projection }),
  shape,
}
