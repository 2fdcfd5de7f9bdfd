// The memory of a training by Hearth in one process on a processor: what its trainer holds at its fullest moment, measured
// by bench/planning.bench.ts. Ranks of one machine are memoryPerWorker() of hearth/train. Bytes everywhere.
import {
  activationBytes,
  adapterParameters,
  blockElements,
  NF4_BYTES,
  type MemoryOptions,
  type MemoryParts,
} from './memory.js'

const FLOAT = 4
/** Node, libtorch, a tokenizer and data, before any weight. */
const LIBRARIES = 300e6
/** Rows of logits that the loss has at once. */
const LOGIT_ROWS = 512

/** @param bytes of a number in the arithmetic of the step */
export function memoryHere({ model, method, rank, length, layout }: MemoryOptions, bytes: 2 | 4): MemoryParts {
  const { layers, width, parameters, vocabularySize } = model.shape
  const { microBatch, checkpointing } = layout
  const trained = method === 'full' ? parameters : adapterParameters(model, rank)
  const inBlocks = blockElements(model)
  const base =
    method === 'full' ? 0 : bytes * (parameters - inBlocks) + (method === 'qlora' ? NF4_BYTES : bytes) * inBlocks
  // Masters in float32, and a copy in the arithmetic where that is another.
  const weights = base + (FLOAT + (bytes === FLOAT ? 0 : bytes)) * trained
  const gradients = (FLOAT + (bytes === FLOAT ? 0 : bytes)) * trained
  const optimizer = 2 * FLOAT * trained
  const block = (activationBytes(model) / 2) * bytes
  const activations = microBatch * length * (checkpointing ? layers * bytes * width + block : layers * block)
  const working = Math.min(LOGIT_ROWS, microBatch * length) * vocabularySize * FLOAT * 2
  const held = weights + gradients + optimizer + activations + working
  return { weights, gradients, optimizer, activations, working, reserve: LIBRARIES, total: held + LIBRARIES, host: 0 }
}
