/**
 * hearth/data: from text on disk to batches of ids. Tokenizers, documents, token shards, loaders with an exact position.
 */
export { hashCounters, philox, uniform } from './counter-random.js'
export { readDocuments } from './documents/read.js'
export type { Document, ReadOptions } from './documents/read.js'
export type { StreamDecoder } from './tokenizer/codec.js'
export { Tokenizer } from './tokenizer/tokenizer.js'
export type { DecodeOptions, EncodeOptions } from './tokenizer/tokenizer.js'
export { END_OF_TEXT, trainByteLevelBpe } from './tokenizer/train.js'
export type { BpeTrainingOptions, BpeTrainingProgress } from './tokenizer/train.js'
