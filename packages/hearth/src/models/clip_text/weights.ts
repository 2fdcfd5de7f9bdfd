// Weights of CLIP's text encoder, by transformers' names.
import type { Embedding, LayerNorm, Linear } from '../../nn/index.js'
import { PartBuilder } from '../image-part.js'
import type { WeightSource } from '../weight-source.js'
import type { ClipTextConfig } from './config.js'

export interface ClipTextBlock {
  attentionNorm: LayerNorm
  attention: { query: Linear; key: Linear; value: Linear; out: Linear }
  feedForwardNorm: LayerNorm
  feedForward: { up: Linear; down: Linear }
}

export interface ClipTextWeights {
  /** (V, D) */
  embed: Embedding
  /** (contextLength, D) */
  positions: Embedding
  blocks: ClipTextBlock[]
  norm: LayerNorm
  /** (P, D) */
  projection?: Linear
}

export function build(config: ClipTextConfig, source: WeightSource): ClipTextWeights {
  const { width, feedForward, projection } = config
  const root = new PartBuilder(source)
  const at = root.at('text_model')
  return {
    embed: at.table('embeddings.token_embedding', config.vocabularySize, width),
    positions: at.table('embeddings.position_embedding', config.contextLength, width),
    blocks: at.list('encoder.layers', config.layers, (at) => ({
      attentionNorm: at.norm('layer_norm1', width),
      attention: {
        query: at.linear('self_attn.q_proj', width, width),
        key: at.linear('self_attn.k_proj', width, width),
        value: at.linear('self_attn.v_proj', width, width),
        out: at.linear('self_attn.out_proj', width, width),
      },
      feedForwardNorm: at.norm('layer_norm2', width),
      feedForward: { up: at.linear('mlp.fc1', width, feedForward), down: at.linear('mlp.fc2', feedForward, width) },
    })),
    norm: at.norm('final_layer_norm', width),
    ...(projection !== undefined && { projection: root.linear('text_projection', width, projection, { bias: false }) }),
  }
}
