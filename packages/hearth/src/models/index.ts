// hearth/models: families of language models, their presets, and new models. One folder a family.
export { gpt2 } from './gpt2/model.js'
export type { Gpt2Config } from './gpt2/config.js'
export type { Gpt2Block, Gpt2Weights } from './gpt2/weights.js'
export { gpt3 } from './gpt3/model.js'
export { gptNeo } from './gpt_neo/model.js'
export type { GptNeoConfig } from './gpt_neo/config.js'
export type { GptNeoBlock, GptNeoWeights } from './gpt_neo/weights.js'
export { gptNeox } from './gpt_neox/model.js'
export type { GptNeoxConfig } from './gpt_neox/config.js'
export type { GptNeoxBlock, GptNeoxWeights } from './gpt_neox/weights.js'
export { gptJ } from './gptj/model.js'
export type { GptJConfig } from './gptj/config.js'
export type { GptJBlock, GptJWeights } from './gptj/weights.js'
export { llama } from './llama/model.js'
export type { LlamaConfig } from './llama/config.js'
export type { LlamaAttention, LlamaBlock, LlamaWeights } from './llama/weights.js'
export { mistral } from './mistral/model.js'
export { mixtral } from './mixtral/model.js'
export type { MixtralConfig } from './mixtral/config.js'
export type { MixtralBlock, MixtralWeights } from './mixtral/weights.js'
export { qwen2 } from './qwen2/model.js'
export { qwen3 } from './qwen3/model.js'
export { stableLm } from './stablelm/model.js'
export type { StableLmConfig } from './stablelm/config.js'
export type { StableLmBlock, StableLmWeights } from './stablelm/weights.js'
export { stableLmAlpha } from './stablelm_alpha/model.js'
export type { StableLmAlphaConfig } from './stablelm_alpha/config.js'
export type { StableLmAlphaBlock, StableLmAlphaWeights } from './stablelm_alpha/weights.js'
export type { Family, ForwardOptions, GenerationDefaults, LanguageModel, ModelShape } from './family.js'
export { forwardOf } from './decoder.js'
export type { LanguageConfig } from './language-config.js'
export { fileName, type FileName, type NameRule, type NameTable } from './names.js'
export { loadWeights, type LoadOptions, type StoredTensor } from './named-weights.js'
export { presetConfigs, type ConfigJson } from './presets.js'
export {
  configure,
  createModel,
  families,
  familyOf,
  keyValueCacheOf,
  logits,
  pageBytesOf,
  pagedCacheOf,
  placeModel,
  preset,
  presetNames,
  type CacheOptions,
  type PagedCacheOptions,
  type Preset,
} from './registry.js'
export { countWeights, initialise, type Init, type InitialiseOptions, type WeightSource } from './weight-source.js'
// The networks of image models.
export { PartBuilder, type ImagePart } from './image-part.js'
export { loadPart, type LoadPartOptions } from './load-part.js'
export { clipText, type ClipText } from './clip_text/model.js'
export type { ClipTextConfig } from './clip_text/config.js'
export type { ClipTextWeights } from './clip_text/weights.js'
export { unet, type UnetInputs } from './unet/model.js'
export type { UnetConfig } from './unet/config.js'
export type { UnetWeights } from './unet/weights.js'
export { vae, type Latents } from './vae/model.js'
export type { VaeConfig } from './vae/config.js'
export type { VaeWeights } from './vae/weights.js'
