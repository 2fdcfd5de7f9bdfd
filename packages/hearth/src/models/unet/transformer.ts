// The transformer inside a U-Net (Rombach et al. 2022): the pixels attend to each other, then to the text.
// diffusers calls it Transformer2DModel.
// B batch, N = H · W pixels, C channels, S tokens of the text, D their width, E width of a head, F feed-forward width.
import { scope, type Tensor } from '@hearth/torch'
import {
  attention,
  gated,
  groupNorm,
  layerNorm,
  linear,
  mergeHeads,
  splitHeads,
  type GroupNorm,
  type LayerNorm,
  type Linear,
} from '../../nn/index.js'
import type { PartBuilder } from '../image-part.js'

/** Queries from the pixels; keys and values from the pixels too, or from the text. */
export interface CrossAttention {
  query: Linear
  key: Linear
  value: Linear
  out: Linear
}

export interface TransformerBlock {
  norm1: LayerNorm
  pixels: CrossAttention
  norm2: LayerNorm
  text: CrossAttention
  norm3: LayerNorm
  /** GEGLU (Shazeer 2020): the rows of the values, then those of the gates, (2·F, C). */
  up: Linear
  down: Linear
}

export interface SpatialTransformer {
  norm: GroupNorm
  /** Linear over the channels of each pixel; some files have them as 1 × 1 convolutions. */
  into: Linear
  blocks: TransformerBlock[]
  out: Linear
}

export interface TransformerSizes {
  channels: number
  contextWidth: number
  depth: number
}

function buildAttention(at: PartBuilder, channels: number, contextWidth: number): CrossAttention {
  return {
    query: at.linear('to_q', channels, channels, { bias: false }),
    key: at.linear('to_k', contextWidth, channels, { bias: false }),
    value: at.linear('to_v', contextWidth, channels, { bias: false }),
    out: at.linear('to_out.0', channels, channels),
  }
}

export function buildTransformer(
  at: PartBuilder,
  { channels, contextWidth, depth }: TransformerSizes,
): SpatialTransformer {
  return {
    norm: at.norm('norm', channels),
    into: at.linear('proj_in', channels, channels),
    blocks: at.list('transformer_blocks', depth, (at) => ({
      norm1: at.norm('norm1', channels),
      pixels: buildAttention(at.at('attn1'), channels, channels),
      norm2: at.norm('norm2', channels),
      text: buildAttention(at.at('attn2'), channels, contextWidth),
      norm3: at.norm('norm3', channels),
      up: at.linear('ff.net.0.proj', channels, 8 * channels),
      down: at.linear('ff.net.2', 4 * channels, channels),
    })),
    out: at.linear('proj_out', channels, channels),
  }
}

/** The residual x plus what its norm finds in `context`. */
function attend(w: CrossAttention, normed: Tensor, context: Tensor, heads: number, residual: Tensor): Tensor {
  return scope(() => {
    const q = splitHeads(linear(w.query, normed), heads) // (B, heads, N, E)
    const k = splitHeads(linear(w.key, context), heads) // (B, heads, N or S, E)
    const v = splitHeads(linear(w.value, context), heads)
    return linear(w.out, mergeHeads(attention(q, k, v)), { residual }) // (B, N, C)
  })
}

const LAYER_NORM_EPS = 1e-5
const GROUP_NORM_EPS = 1e-6

function runBlock(block: TransformerBlock, x: Tensor, text: Tensor, heads: number): Tensor {
  return scope(() => {
    const normed = layerNorm(block.norm1, x, LAYER_NORM_EPS)
    const looked = attend(block.pixels, normed, normed, heads, x)
    const read = attend(block.text, layerNorm(block.norm2, looked, LAYER_NORM_EPS), text, heads, looked)
    const both = linear(block.up, layerNorm(block.norm3, read, LAYER_NORM_EPS)) // (B, N, 2·F)
    const [values, gates] = both.chunk(2, { dim: 2 }) as [Tensor, Tensor] // (B, N, F)
    return linear(block.down, gated('gelu', gates, values), { residual: read })
  })
}

/**
 * @param x (B, H, W, C)
 * @param text (B, S, D)
 * @returns (B, H, W, C)
 */
export function spatialTransformer(
  weights: SpatialTransformer,
  x: Tensor,
  text: Tensor,
  { heads, groups }: { heads: number; groups: number },
): Tensor {
  return scope(() => {
    const normed = groupNorm(weights.norm, x, { groups, eps: GROUP_NORM_EPS })
    let pixels = linear(weights.into, normed).flatten({ startDim: 1, endDim: 2 }) // (B, H, W, C) → (B, N, C)
    for (const block of weights.blocks) pixels = runBlock(block, pixels, text, heads)
    return linear(weights.out, pixels.view(x.shape), { residual: x }) // (B, N, C) → (B, H, W, C)
  })
}
