// GPT-Neo (Black et al. 2021, EleutherAI): GPT-2 with layers that take turns between all keys and a window, scores that
// are not scaled, and no biases on queries, keys and values. Single-device maths.
// B batch, T new tokens, D width, H heads, E = D / H, F feed-forward width, V vocabulary.
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
  withoutBias,
  type Linear,
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
import { parseConfig, toConfig, type GptNeoConfig } from './config.js'
import { build, names, type GptNeoBlock, type GptNeoWeights } from './weights.js'

function selfAttention({ attention: w }: GptNeoBlock, config: GptNeoConfig, x: Tensor, context: BlockContext): Tensor {
  const [q, k, v] = [w.query, w.key, w.value].map((part) => splitHeads(linear(part, x), config.heads)) as [
    Tensor,
    Tensor,
    Tensor,
  ] // (B, H, T, E)
  const attended = causalAttention(q, k, v, context, {
    scale: 1,
    window: config.windows[context.layer]!,
    dropout: context.dropout('attention', config.dropout.attention),
  }) // (B, H, T, E)
  return dropout(linear(w.out, mergeHeads(attended)), context.dropout('attentionOut', config.dropout.residual)) // (B, T, D)
}

function runBlock(block: GptNeoBlock, config: GptNeoConfig, x: Tensor, context: BlockContext): Tensor {
  const { up, down } = block.feedForward
  const attended = selfAttention(block, config, layerNorm(block.attentionNorm, x, config.normEpsilon), context)
  const { sum, normed } = addLayerNorm(block.feedForwardNorm, x, attended, config.normEpsilon)
  // The bias is added on the way through the activation.
  const middle = activate(config.activation, linear(withoutBias(up), normed), up.bias) // (B, T, F)
  return addLinear(down, middle, sum, context.dropout('feedForward', config.dropout.residual)) // (B, T, D)
}

function hidden(weights: GptNeoWeights, config: GptNeoConfig, ids: Tensor, options: ForwardOptions = {}): Tensor {
  const start = firstPosition(ids, config.contextLength, options)
  const positions = learnedPositions(weights.positions, start, ids.shape[1]!, options.documents) // (T, D)
  const forget = dropoutOf(options.dropoutSeed, -1)('embedding', config.dropout.embedding)
  const embedded = dropout(embedding(weights.embed, ids).add(positions), forget) // (B, T, D)
  const x = runBlocks(weights.blocks, embedded, options, (block, x, context) => runBlock(block, config, x, context))
  return layerNorm(weights.norm, x, config.normEpsilon)
}

/** A tied head is the table of token embeddings. */
const projection = (weights: GptNeoWeights): Linear => weights.head ?? weights.embed // (V, D)

function shape(config: GptNeoConfig): ModelShape {
  const { layers, width, heads, feedForward, contextLength, vocabularySize, tiedHead, windows } = config
  return {
    layers,
    width,
    heads,
    keyValueHeads: heads,
    headDim: width / heads,
    feedForward,
    vocabularySize,
    contextLength,
    parameters: countWeights((source) => build(config, source)),
    embeddingParameters: (tiedHead ? contextLength : contextLength + vocabularySize) * width,
    windows,
  }
}

export const gptNeo: Family<GptNeoConfig, GptNeoWeights> = {
  name: 'gpt_neo',
  architecture: 'GPTNeoForCausalLM',
  names,
  parseConfig,
  toConfig,
  build,
  hidden,
  projection,
  forward: forwardOf({ hidden, projection }),
  shape,
}
