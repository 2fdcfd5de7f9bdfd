// Image models in the files of diffusers and of the first Stable Diffusion code.
export {
  loadImageModel,
  openImageSource,
  type ImageModel,
  type LoadedPart,
  type LoadImageModelOptions,
  type TextEncoder,
} from './load.js'
export type { ImageSource, PartSource } from './source.js'
