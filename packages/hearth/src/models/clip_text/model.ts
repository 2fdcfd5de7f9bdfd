// CLIP's text encoder (Radford et al. 2021): a causal transformer over 77 tokens. Stable Diffusion 1.x has that of ViT-L/14,
// 2.x OpenCLIP's of ViT-H, XL both ViT-L's and OpenCLIP's bigG.
// B batch, T tokens, D width, H heads, P width of the projection.
import { scope, type Tensor } from '@hearth/torch'
import {
  activate,
  attention,
  embedding,
  layerNorm,
  linear,
  mergeHeads,
  splitHeads,
  withoutBias,
} from '../../nn/index.js'
import type { ImagePart } from '../image-part.js'
import { parseConfig, type ClipTextConfig } from './config.js'
import { build, type ClipTextBlock, type ClipTextWeights } from './weights.js'

export interface ClipText {
  /** The residual stream before the first block and after each, (B, T, D); the last is not yet normed. */
  states: Tensor[]
  /** The last state, normed, (B, T, D). */
  sequence: Tensor
  /** The end token's row of `sequence`, projected: (B, P). Where there is no projection, (B, D). */
  pooled: Tensor
}

function selfAttention(
  { attention: w }: ClipTextBlock,
  { heads }: ClipTextConfig,
  x: Tensor,
  residual: Tensor,
): Tensor {
  const [q, k, v] = [w.query, w.key, w.value].map((each) => splitHeads(linear(each, x), heads)) // (B, H, T, E)
  return linear(w.out, mergeHeads(attention(q!, k!, v!, { causal: true })), { residual }) // (B, T, D)
}

function block(weights: ClipTextBlock, config: ClipTextConfig, x: Tensor): Tensor {
  return scope(() => {
    const attended = selfAttention(weights, config, layerNorm(weights.attentionNorm, x, config.normEpsilon), x)
    const { up, down } = weights.feedForward
    const normed = layerNorm(weights.feedForwardNorm, attended, config.normEpsilon)
    const middle = activate(config.activation, linear(withoutBias(up), normed), up.bias) // (B, T, F)
    return linear(down, middle, { residual: attended })
  })
}

/** Where each text ends: the first end token; in files of the old kind the token with the largest number. */
function endOf(ids: Tensor, { endToken }: ClipTextConfig): Tensor {
  return endToken === 2 ? ids.argmax({ dim: 1 }) : ids.eq(endToken).to('int64').argmax({ dim: 1 }) // (B)
}

/**
 * @param ids (B, T) int64, with the begin and end tokens
 * @throws TorchError when an id is not in the vocabulary, or T is longer than the context
 */
function forward(weights: ClipTextWeights, config: ClipTextConfig, ids: Tensor): ClipText {
  return scope(() => {
    const places = weights.positions.weight.narrow(0, 0, ids.shape[1]!) // (T, D)
    const states = [embedding(weights.embed, ids).add(places)]
    for (const each of weights.blocks) states.push(block(each, config, states.at(-1)!))
    const sequence = layerNorm(weights.norm, states.at(-1)!, config.normEpsilon)
    const rows = endOf(ids, config).view([-1, 1, 1]).expand([-1, 1, config.width]) // (B, 1, D)
    const ends = sequence.gather(1, rows).squeeze(1) // (B, D)
    return { states, sequence, pooled: weights.projection ? linear(weights.projection, ends) : ends }
  })
}

export const clipText = {
  className: 'CLIPTextModel',
  // The numbers of the positions, and the head of encoders that are used without one.
  ignored: [/position_ids$/, /^text_projection\.weight$/],
  parseConfig,
  build,
  forward,
} satisfies ImagePart<ClipTextConfig, ClipTextWeights> & { forward: typeof forward }
