// The ways to use some devices for a training, what each needs and how long a step takes with it, and the fastest that fits.
import { SHARDINGS } from '../train/index.js'
import { trainingFlops } from './compute.js'
import { adapterParameters, memoryOf, type Layout, type MemoryParts, type Method } from './memory.js'
import { memoryHere } from './memory-here.js'
import { exchangeSeconds } from './network.js'
import type { PlannedModel } from './planned-model.js'
import type { Hardware } from './hardware.js'

/** What decides the speed and the memory of a step. */
export interface Training {
  model: PlannedModel
  method: Method
  rank: number
  /** Tokens of a sample. */
  length: number
  /** Tokens of a step, all devices together. */
  batch: number
  hardware: Hardware
  devices: number
  /** GB/s of a machine to the others. */
  network: number
  efficiency: number
  /** Steps that machines do on their own before they exchange weights; undefined when they exchange gradients in each. */
  exchangeEvery?: number | undefined
}

/** Seconds of a step, part by part. */
export interface StepTime {
  compute: number
  /** All of its communication, and what does not hide behind the computing. */
  communication: number
  exposed: number
  offload: number
  total: number
}

export interface Candidate {
  layout: Layout
  memory: MemoryParts
  fits: boolean
  /** Samples one after another before the optimizer's step. */
  accumulation: number
  step: StepTime
}

/** GB/s at which the processors of a machine update the weights of one device. */
const HOST_UPDATE_RATE = 25
/** Bytes that such an update reads and writes of a weight. */
const HOST_UPDATE_BYTES = 28
/** Of a device, what training may fill. */
const USABLE = 0.97

/** Devices that share one copy of the state. */
export const groupOf = ({ devices, hardware, exchangeEvery }: Training): number =>
  exchangeEvery === undefined ? devices : Math.min(devices, hardware.perMachine)

const isProcessor = (hardware: Hardware): boolean => hardware.kind === 'processor'

/** Bytes that one device may fill. */
export const roomOf = ({ hardware }: Pick<Training, 'hardware'>): number => hardware.memory * 2 ** 30 * USABLE

/** Every way, each with the largest samples at once that fit it. */
export function candidatesFor(training: Training): Candidate[] {
  const group = groupOf(training)
  const shardings = group === 1 || isProcessor(training.hardware) ? SHARDINGS.slice(0, 1) : SHARDINGS
  const ways = shardings.flatMap((sharding) =>
    [false, true].flatMap((offload) =>
      offload && isProcessor(training.hardware)
        ? []
        : [false, true].map((checkpointing) => ({ sharding, checkpointing, offload })),
    ),
  )
  return ways.map((way) => largestOf(training, way))
}

/** The fastest that fits; undefined when none does. Where two are equal, the simpler. */
export function bestOf(candidates: readonly Candidate[]): Candidate | undefined {
  return candidates
    .filter(({ fits }) => fits)
    .reduce<Candidate | undefined>(
      (best, each) => (best === undefined || each.step.total < best.step.total * 0.999 ? each : best),
      undefined,
    )
}

function largestOf(training: Training, way: Omit<Layout, 'microBatch'>): Candidate {
  const samples = Math.max(1, Math.floor(training.batch / training.length / training.devices))
  let candidate = candidateOf(training, { ...way, microBatch: 1 }, samples)
  for (let microBatch = 2; microBatch <= samples && candidate.fits; microBatch *= 2) {
    const larger = candidateOf(training, { ...way, microBatch }, samples)
    if (!larger.fits) break
    candidate = larger
  }
  return candidate
}

function candidateOf(training: Training, layout: Layout, samples: number): Candidate {
  const { model, method, rank, length, hardware } = training
  const options = { model, method, rank, length, devices: groupOf(training), layout }
  const memory = isProcessor(hardware)
    ? memoryHere(options, hardware.arithmetic === 'float32' ? 4 : 2)
    : memoryOf(options)
  const accumulation = Math.ceil(samples / layout.microBatch)
  const hosts = (memory.host * Math.min(groupOf(training), hardware.perMachine)) / 2 ** 30
  const fits = memory.total <= roomOf(training) && hosts <= hardware.hostMemory
  return { layout, memory, fits, accumulation, step: stepTime(training, layout, accumulation) }
}

/** Without gradients of the weights that stay, two of three products are left. */
export const workShare = (method: Method): number => (method === 'full' ? 1 : 2 / 3)

function stepTime(training: Training, layout: Layout, accumulation: number): StepTime {
  const { model, method, length, batch, hardware, devices, efficiency } = training
  const again = layout.checkpointing ? 4 / 3 : 1
  const flops = trainingFlops(model, length) * batch * workShare(method) * again
  const compute = flops / (devices * hardware.peak * 1e12 * efficiency)
  const communication = communicationOf(training, layout, accumulation)
  // Gradients leave while the rest of the backward pass, two thirds of the work, computes; gathered weights come at all times.
  const hides = layout.sharding === 'everything' ? compute : (compute * 2) / 3 / accumulation
  const exposed = Math.max(0, communication.everyStep - hides) + communication.seldom
  const trained = trainedParameters(training) / groupOf(training)
  const offload = layout.offload
    ? trained * (4 / (hardware.hostLink * 1e9) + HOST_UPDATE_BYTES / (HOST_UPDATE_RATE * 1e9))
    : 0
  const all = communication.everyStep + communication.seldom
  return { compute, communication: all, exposed, offload, total: compute + exposed + offload }
}

export const trainedParameters = ({ model, method, rank }: Training): number =>
  method === 'full' ? model.shape.parameters : adapterParameters(model, rank)

function communicationOf(training: Training, { sharding }: Layout, accumulation: number) {
  const { hardware, devices, network, exchangeEvery, model, method } = training
  const group = groupOf(training)
  const trained = 2 * trainedParameters(training)
  const gathered = 2 * (method === 'full' ? model.shape.parameters : 0)
  const exchange = (bytes: number, passes: number, count: number) =>
    count === 1 ? 0 : exchangeSeconds({ hardware, devices: count, network, bytes, passes })
  const reduced = sharding === 'gradients' || sharding === 'everything' ? accumulation + 1 : 2
  const everyStep =
    exchange(trained, sharding === 'everything' ? accumulation : reduced, group) +
    (sharding === 'everything' ? exchange(gathered, 2 * accumulation, group) : 0)
  // One byte a weight (INTELLECT-1's int8), among machines alone.
  const machines = Math.ceil(devices / hardware.perMachine)
  const seldom =
    exchangeEvery === undefined || machines === 1
      ? 0
      : exchangeSeconds({
          hardware: { ...hardware, perMachine: 1 },
          devices: machines,
          network,
          bytes: trained / 2,
          passes: 2,
        }) / exchangeEvery
  return { everyStep, seldom }
}
