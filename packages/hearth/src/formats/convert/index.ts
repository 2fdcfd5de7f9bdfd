// Models from one format into another, proved by their logits.
export {
  conversionDtypes,
  conversionFormats,
  convertModel,
  type Conversion,
  type ConversionFormat,
  type ConvertOptions,
} from './convert.js'
