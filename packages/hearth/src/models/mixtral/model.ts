// Mixtral (Jiang et al. 2024, arXiv:2401.04088): Mistral, with several feed-forward parts in each block, of which each
// token visits two. Single-device maths.
// B batch, T new tokens, D width, X experts, k experts a token, F width inside an expert, V vocabulary.
import type { Tensor } from '@hearth/torch'
import {
  addRmsNorm,
  embedding,
  groupedGatedLinear,
  rmsNorm,
  rotaryTables,
  scaledContextLength,
  type Linear,
} from '../../nn/index.js'
import { firstPosition, forwardOf, runBlocks, type RotaryContext } from '../decoder.js'
import type { Family, ForwardOptions, ModelShape } from '../family.js'
import { selfAttention } from '../llama/attention.js'
import { llamaShape } from '../llama/model.js'
import { countWeights } from '../weight-source.js'
import { parseConfig, toConfig, type MixtralConfig } from './config.js'
import { balanceLoss, carryLoss, route } from './router.js'
import { build, names, type MixtralBlock, type MixtralWeights } from './weights.js'

/** What the experts add to the residual stream, (B, T, D). In training it carries the loss of the router's balance. */
function mixture(block: MixtralBlock, config: MixtralConfig, x: Tensor): Tensor {
  const tokens = x.flatten({ endDim: 1 }) // (B, T, D) → (B·T, D)
  const routes = route(block.router, tokens, config.expertsPerToken)
  const mixed = groupedGatedLinear(block.experts, config.activation, tokens, routes).view(x.shape) // (B, T, D)
  if (config.balanceWeight === 0 || !routes.probabilities.requiresGrad) return mixed
  // The mean over layers. transformers adds the layers' shares up first; for layers that are balanced it is the same.
  return carryLoss(mixed, balanceLoss(routes).mul(config.balanceWeight / config.layers))
}

function runBlock(block: MixtralBlock, config: MixtralConfig, x: Tensor, context: RotaryContext): Tensor {
  const attended = selfAttention(block.attention, config, rmsNorm(block.attentionNorm, x, config.normEpsilon), context)
  const { sum, normed } = addRmsNorm(block.feedForwardNorm, x, attended, config.normEpsilon)
  return sum.add(mixture(block, config, normed))
}

function hidden(weights: MixtralWeights, config: MixtralConfig, ids: Tensor, options: ForwardOptions = {}): Tensor {
  const start = firstPosition(ids, scaledContextLength(config.rotary), options)
  const embedded = embedding(weights.embed, ids) // (B, T, D)
  const rotary = rotaryTables(config.rotary, start, ids.shape[1]!, embedded.dtype, embedded.device)
  const x = runBlocks(weights.blocks, embedded, options, (block, x, context) =>
    runBlock(block, config, x, { ...context, rotary }),
  )
  return rmsNorm(weights.norm, x, config.normEpsilon)
}

/** A tied head is the table of token embeddings. */
const projection = (weights: MixtralWeights): Linear => weights.head ?? weights.embed // (V, D)

function shape(config: MixtralConfig): ModelShape {
  const { layers, width, feedForward, experts, expertsPerToken } = config
  return {
    ...llamaShape(
      config,
      countWeights((source) => build(config, source)),
    ),
    idleParameters: layers * (experts - expertsPerToken) * 3 * width * feedForward,
  }
}

export const mixtral: Family<MixtralConfig, MixtralWeights> = {
  name: 'mixtral',
  architecture: 'MixtralForCausalLM',
  names,
  parseConfig,
  toConfig,
  build,
  hidden,
  projection,
  forward: forwardOf({ hidden, projection }),
  shape,
}
