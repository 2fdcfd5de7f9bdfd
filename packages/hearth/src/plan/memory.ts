// The memory of one device for each way to share a training: what the model's state takes, what a sample leaves behind for
// the backward pass, and what is held meanwhile. Bytes everywhere. For accelerators with 16-bit arithmetic; what processes
// of Hearth itself need on a processor is memoryPerWorker() of hearth/train.
import type { Sharding } from '../train/index.js'
import type { PlannedModel } from './planned-model.js'

/** What is trained: all of the weights, or low-rank changes over weights in 16 bits (lora) or in NF4 (qlora). */
export type Method = 'full' | 'lora' | 'qlora'

/** One way to use the devices. */
export interface Layout {
  sharding: Sharding
  /** Blocks are computed again in the backward pass. */
  checkpointing: boolean
  /** Optimizer state lies in the memory of the machine. */
  offload: boolean
  /** Samples of a device at once. */
  microBatch: number
}

export interface MemoryParts {
  weights: number
  gradients: number
  optimizer: number
  activations: number
  /** Logits, gathered blocks. */
  working: number
  /** Libraries and what the allocator cannot use. */
  reserve: number
  total: number
  /** Of the machine's own memory, for each device. */
  host: number
}

/** Rows of logits that exist at once: the loss is computed in pieces. */
const LOGIT_ROWS = 512
/** A context of CUDA with its libraries. */
const CONTEXT = 1.5 * 2 ** 30
/** Share of the rest that an allocator loses between its blocks. */
const FRAGMENTATION = 0.05
/** Bytes of a weight in NF4 with double quantisation: 4.13 bits (Dettmers et al. 2023). */
export const NF4_BYTES = 4.13 / 8

/** Bytes of a trained weight in mixed precision with AdamW: 2 weight, 2 gradient, 12 master and moments (ZeRO, section 3.1). */
export const STATE_BYTES = { weight: 2, gradient: 2, optimizer: 12 } as const

/** Elements of the linear layers of the blocks, and the sum of their inputs and outputs. A ceiling asks thousands of times. */
const linears = new WeakMap<PlannedModel, { elements: number; edges: number }>()

function linearsOf(model: PlannedModel): { elements: number; edges: number } {
  const known = linears.get(model)
  if (known !== undefined) return known
  const found = { elements: 0, edges: 0 }
  for (const [path, shape] of Object.entries(model.weights)) {
    if (!path.startsWith('blocks.') || shape.length !== 2) continue
    found.elements += shape[0]! * shape[1]!
    found.edges += shape[0]! + shape[1]!
  }
  linears.set(model, found)
  return found
}

/** Weights of low-rank changes of every linear layer of the blocks. */
export const adapterParameters = (model: PlannedModel, rank: number): number => rank * linearsOf(model).edges

/** Elements of the linear layers of the blocks: what QLoRA keeps in NF4. */
export const blockElements = (model: PlannedModel): number => linearsOf(model).elements

/**
 * Bytes that one block keeps of a token for its backward pass, in 16 bits, attention in tiles: the results of its matrix
 * products, of its norms, of the attention and of the activation. 32 for a plain block, to which dropout's masks would add
 * 2: the 34 of Korthikanti et al. 2022, table 2.
 */
export function activationBytes({ shape, feedForwardMatrices }: PlannedModel): number {
  const { width, heads, keyValueHeads, headDim, feedForward, idleParameters = 0 } = shape
  const attention = (2 * heads + 2 * keyValueHeads) * headDim + width
  // Two experts see a token where there are any.
  const experts = idleParameters > 0 ? 2 : 1
  const inner = experts * (feedForwardMatrices * feedForward) + width
  return 2 * (attention + inner + 2 * width)
}

export interface MemoryOptions {
  model: PlannedModel
  method: Method
  /** Rank of low-rank changes. */
  rank: number
  /** Tokens of a sample. */
  length: number
  devices: number
  layout: Layout
}

/** Memory of one device at its fullest. */
export function memoryOf(options: MemoryOptions): MemoryParts {
  const { layout } = options
  const states = options.method === 'full' ? fullStates(options) : adaptedStates(options)
  const [activations, working] = [activationsOf(options), workingOf(options)]
  const host = layout.offload ? states.optimizer : 0
  const onDevice = { ...states, optimizer: layout.offload ? 0 : states.optimizer, activations, working }
  const held = Object.values(onDevice).reduce((sum, part) => sum + part, 0)
  const reserve = CONTEXT + FRAGMENTATION * held
  return { ...onDevice, reserve, total: held + reserve, host }
}

/** ZeRO's stages (Rajbhandari et al. 2020, figure 1). */
function fullStates({ model, devices, layout: { sharding } }: MemoryOptions) {
  const { parameters } = model.shape
  const share = (sharded: boolean) => (sharded ? parameters / devices : parameters)
  return {
    weights: STATE_BYTES.weight * share(sharding === 'everything'),
    gradients: STATE_BYTES.gradient * share(sharding === 'gradients' || sharding === 'everything'),
    optimizer: STATE_BYTES.optimizer * share(sharding !== 'replicate'),
  }
}

/** The base stays as it is; the changes are trained as a whole model would be. */
function adaptedStates({ model, method, rank, devices, layout: { sharding } }: MemoryOptions) {
  const inBlocks = blockElements(model)
  const base = 2 * (model.shape.parameters - inBlocks) + (method === 'qlora' ? NF4_BYTES : 2) * inBlocks
  const changes = adapterParameters(model, rank)
  return {
    weights: base / (sharding === 'everything' ? devices : 1) + STATE_BYTES.weight * changes,
    gradients: STATE_BYTES.gradient * changes,
    optimizer: STATE_BYTES.optimizer * changes,
  }
}

function activationsOf({ model, length, layout: { checkpointing, microBatch } }: MemoryOptions): number {
  const { layers, width } = model.shape
  const block = activationBytes(model)
  // With recomputation: the input of every block, and one block in full.
  return microBatch * length * (checkpointing ? layers * 2 * width + block : layers * block)
}

function workingOf({ model, length, devices, layout: { sharding, microBatch } }: MemoryOptions): number {
  const { layers, vocabularySize } = model.shape
  const inBlocks = blockElements(model)
  const logits = Math.min(LOGIT_ROWS, microBatch * length) * vocabularySize * 4 * 2
  if (sharding !== 'everything' || devices === 1) return logits
  // Two gathered blocks and a block's gradients; what lies around the blocks, with its gradients.
  return logits + (3 * 2 * inBlocks) / layers + 2 * 2 * (model.shape.parameters - inBlocks)
}

export interface RunningMemory {
  weights: number
  cache: number
  total: number
}

/** Bytes of a weight while a model runs. */
export const RUNNING_BYTES = { bf16: 2, int8: 8.5 / 8, int4: 4.5 / 8 } as const

/** Memory of a model that runs: weights, and keys and values of `length` tokens. */
export function runningMemory(model: PlannedModel, bytes: number, length: number, batch = 1): RunningMemory {
  const { layers, keyValueHeads, headDim, parameters } = model.shape
  const inBlocks = blockElements(model)
  const weights = bytes * inBlocks + 2 * (parameters - inBlocks)
  // K and V, in 16 bits.
  const cache = 2 * layers * keyValueHeads * headDim * length * batch * 2
  return { weights, cache, total: (weights + cache) * (1 + FRAGMENTATION) + CONTEXT }
}
