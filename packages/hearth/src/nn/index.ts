// hearth/nn: layers as functions over their part of a tree of weights. One layer a file; no state, no classes but the caches.
export { activate, activationNames, gated, type Activation } from './activation.js'
export { attention, type AttentionOptions } from './attention.js'
export type { AttentionCache, CachedAttentionOptions, Positions, PositionSpan } from './attention-cache.js'
export { composedAttention, type ComposedOptions } from './composed-attention.js'
export {
  BASE_FORMATS,
  baseLinear,
  dequantiseBase,
  quantiseBase,
  type BaseCodes,
  type BaseFormat,
  type BaseLinear,
} from './base-linear.js'
export { channelsLast, channelsSecond, conv2d, type Conv2d, type Conv2dOptions } from './conv2d.js'
export { crossEntropy, type CrossEntropyOptions } from './cross-entropy.js'
export { dropout, type Dropout } from './dropout.js'
export { embedding, type Embedding } from './embedding.js'
export { groupNorm, type GroupNorm, type GroupNormOptions } from './group-norm.js'
export { mergeHeads, splitHeads } from './heads.js'
export {
  integerLinear,
  packWeight,
  unpackWeight,
  type IntegerBits,
  type IntegerWeight,
  type PackedLinear,
} from './integer-linear.js'
export { KeyValueCache, type CacheShape } from './key-value-cache.js'
export { addLayerNorm, layerNorm, type LayerNorm } from './layer-norm.js'
export { groupedGatedLinear, type Expert } from './experts.js'
export {
  floatWeight,
  linear,
  ROWS_AS_ALONE,
  withoutBias,
  type Linear,
  type LinearActivation,
  type LinearOptions,
} from './linear.js'
export { linearCrossEntropy, type LinearCrossEntropyOptions } from './linear-cross-entropy.js'
export { squaredRowsOf, type LowRank } from './low-rank.js'
export { addRmsNorm, rmsNorm, type RmsNorm } from './rms-norm.js'
export { bytesOfPage, PAGE_TOKENS, PagedCache, type PageDType, type PagedText, type PagesShape } from './paged-cache.js'
export { documentPositions } from './positions.js'
export { applyRotary, rotaryTables, type RotaryTables } from './rotary.js'
export {
  rotaryFrequencies,
  scaledContextLength,
  type Rotary,
  type RotaryFrequencies,
  type RotaryScaling,
  type YarnScaling,
} from './rotary-frequencies.js'
