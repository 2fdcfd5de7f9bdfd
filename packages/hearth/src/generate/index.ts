// hearth/generate: text from a language model, token by token, and how likely it finds a text.
export { generate, type Ending, type GenerateOptions } from './generate.js'
export { quantiseModel, type QuantiseOptions } from './quantise.js'
export * from './samplers.js'
export { lastLogits, scoreTokens, type Score, type ScoreOptions } from './score.js'
export { generationIssues, type GenerationSettings } from './settings.js'
export { StopStrings } from './stop-strings.js'
export { completeText, generateText, type GenerateTextOptions, type TextCodec } from './text.js'
