// The names of the first Stable Diffusion code (CompVis' latent-diffusion, Stability's generative-models, OpenCLIP) in
// diffusers' names. Single-file checkpoints have them. Names alone: shapes are infer-config.ts, files open-checkpoint.ts.

type Rules = readonly (readonly [RegExp, string])[]

/** The first rule that fits. */
function renamed(name: string, rules: Rules): string {
  const found = rules.find(([pattern]) => pattern.test(name))
  return found ? name.replace(found[0], found[1]) : name
}

const RESIDUAL: Rules = [
  [/in_layers\.0/, 'norm1'],
  [/in_layers\.2/, 'conv1'],
  [/emb_layers\.1/, 'time_emb_proj'],
  [/out_layers\.0/, 'norm2'],
  [/out_layers\.3/, 'conv2'],
  [/skip_connection/, 'conv_shortcut'],
]

const UNET_ENDS: Rules = [
  [/^time_embed\.0\./, 'time_embedding.linear_1.'],
  [/^time_embed\.2\./, 'time_embedding.linear_2.'],
  [/^label_emb\.0\.0\./, 'add_embedding.linear_1.'],
  [/^label_emb\.0\.2\./, 'add_embedding.linear_2.'],
  [/^input_blocks\.0\.0\./, 'conv_in.'],
  [/^out\.0\./, 'conv_norm_out.'],
  [/^out\.2\./, 'conv_out.'],
]

/** `output_blocks.5.1.…`: the number of a block, of a layer in it, and what is below. */
const BLOCK = /^(input|output)_blocks\.(\d+)\.(\d+)\.(.+)$/

/**
 * @param name without `model.diffusion_model.`
 * @param residualBlocks of a level on the way down
 */
export function unetName(name: string, residualBlocks: number): string {
  const middle = /^middle_block\.(\d)\.(.+)$/.exec(name)
  if (middle) {
    const place = middle[1] === '1' ? 'attentions.0' : `resnets.${Number(middle[1]) / 2}`
    return `mid_block.${place}.${renamed(middle[2]!, RESIDUAL)}`
  }
  const block = BLOCK.exec(name)
  if (block === null || name.startsWith('input_blocks.0.')) return renamed(name, UNET_ENDS)
  const [, way, number, layer, below] = block as unknown as [string, string, string, string, string]
  const down = way === 'input'
  const place = down ? Number(number) - 1 : Number(number)
  const level = Math.floor(place / (residualBlocks + 1))
  const stage = `${down ? 'down' : 'up'}_blocks.${level}`
  if (down && below.startsWith('op.')) return `${stage}.downsamplers.0.conv.${below.slice('op.'.length)}`
  if (!down && below.startsWith('conv.')) return `${stage}.upsamplers.0.${below}`
  const i = place % (residualBlocks + 1)
  return layer === '0' ? `${stage}.resnets.${i}.${renamed(below, RESIDUAL)}` : `${stage}.attentions.${i}.${below}`
}

const PIXEL_ATTENTION: Rules = [
  [/mid\.attn_1\.norm\./, 'mid_block.attentions.0.group_norm.'],
  [/mid\.attn_1\.q\./, 'mid_block.attentions.0.to_q.'],
  [/mid\.attn_1\.k\./, 'mid_block.attentions.0.to_k.'],
  [/mid\.attn_1\.v\./, 'mid_block.attentions.0.to_v.'],
  [/mid\.attn_1\.proj_out\./, 'mid_block.attentions.0.to_out.0.'],
  [/mid\.block_1\./, 'mid_block.resnets.0.'],
  [/mid\.block_2\./, 'mid_block.resnets.1.'],
  [/norm_out\./, 'conv_norm_out.'],
]

/**
 * @param name without `first_stage_model.`
 * @param levels resolutions: the decoder's are counted from the largest in these files, from the smallest in diffusers'
 */
export function vaeName(name: string, levels: number): string {
  const stage = /^(encoder\.down|decoder\.up)\.(\d+)\.(.+)$/.exec(name)
  if (stage === null) return renamed(name, PIXEL_ATTENTION)
  const [, way, level, below] = stage as unknown as [string, string, string, string]
  const list =
    way === 'encoder.down' ? `encoder.down_blocks.${level}` : `decoder.up_blocks.${levels - 1 - Number(level)}`
  const inside = below
    .replace(/^block\./, 'resnets.')
    .replace('nin_shortcut', 'conv_shortcut')
    .replace(/^downsample\./, 'downsamplers.0.')
    .replace(/^upsample\./, 'upsamplers.0.')
  return `${list}.${inside}`
}

const OPEN_CLIP: Rules = [
  [/^token_embedding\./, 'text_model.embeddings.token_embedding.'],
  [/^positional_embedding$/, 'text_model.embeddings.position_embedding.weight'],
  [/^ln_final\./, 'text_model.final_layer_norm.'],
  [/^text_projection$/, 'text_projection.weight'],
]

const OPEN_CLIP_LAYER: Rules = [
  [/^ln_1\./, 'layer_norm1.'],
  [/^ln_2\./, 'layer_norm2.'],
  [/^mlp\.c_fc\./, 'mlp.fc1.'],
  [/^mlp\.c_proj\./, 'mlp.fc2.'],
  [/^attn\.out_proj\./, 'self_attn.out_proj.'],
  [/^attn\.in_proj_/, 'self_attn.in_proj.'],
]

/** OpenCLIP's text tower. `self_attn.in_proj` stands for the three projections in one, which the files keep together. */
export function openClipName(name: string): string {
  const layer = /^transformer\.resblocks\.(\d+)\.(.+)$/.exec(name)
  if (layer === null) return renamed(name, OPEN_CLIP)
  return `text_model.encoder.layers.${layer[1]}.${renamed(layer[2]!, OPEN_CLIP_LAYER)}`
}
