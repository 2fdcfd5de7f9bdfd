// hearth/models: families of language models, their presets, and new models. One folder a family.
export { gpt2 } from './gpt2/model.js'
export type { Gpt2Config } from './gpt2/config.js'
export type { Gpt2Block, Gpt2Weights } from './gpt2/weights.js'
export { gptNeox } from './gpt_neox/model.js'
export type { GptNeoxConfig } from './gpt_neox/config.js'
export type { GptNeoxBlock, GptNeoxWeights } from './gpt_neox/weights.js'
export { llama } from './llama/model.js'
export type { LlamaConfig } from './llama/config.js'
export type { LlamaBlock, LlamaWeights } from './llama/weights.js'
export type { Family, ForwardOptions, LanguageModel, ModelShape } from './family.js'
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
  placeModel,
  preset,
  presetNames,
  type CacheOptions,
  type Preset,
} from './registry.js'
export { countWeights, initialise, type Init, type InitialiseOptions, type WeightSource } from './weight-source.js'
