// hearth/formats: models in the files of others.
export {
  conversionDtypes,
  conversionFormats,
  convertModel,
  type Conversion,
  type ConversionFormat,
  type ConvertOptions,
} from './convert/index.js'
export {
  loadImageModel,
  openImageSource,
  type ImageModel,
  type LoadedPart,
  type LoadImageModelOptions,
  type TextEncoder,
} from './diffusers/index.js'
export {
  readGguf,
  saveGguf,
  tensorTypes,
  writableTypes,
  type GgufFile,
  type SaveGgufOptions,
  type TensorType,
  type WritableType,
} from './gguf/index.js'
export { fetchDataset, fetchModel, parseHubName, type HubName, type HubOptions } from './hub/index.js'
export { saveModel, type SaveModelOptions } from './hugging-face/save-model.js'
export { loadModel, loadTokenizer, openModelSource, type LoadModelOptions } from './load-model.js'
export { readPytorch } from './pickle/index.js'
export type { ModelSource } from './source.js'
