// From a model, tokens and hardware to what it takes: whether it fits and how, hours, money, energy, and what breakdowns take.
import { flopConventions, trainingFlops } from './compute.js'
import { short, type Figure } from './figure.js'
import { figuresOf } from './figures.js'
import { bestInterval, goodput, meanTimeBetween, type Breakdowns } from './goodput.js'
import {
  bestOf,
  candidatesFor,
  groupOf,
  roomOf,
  trainedParameters,
  workShare,
  type Candidate,
  type Training,
} from './layouts.js'
import { STATE_BYTES } from './memory.js'
import { countTensors } from './planned-model.js'
import { simulate, type Spread } from './simulate.js'

/** A training with its surroundings. */
export interface PlanRequest extends Training {
  hardwareName: string
  /** To train on, in all. For pictures: patches. */
  tokens: number
  /** Breakdowns of a machine in 1000 days. */
  failures: number
  /** Seconds from a breakdown until training goes on. */
  restart: number
  /** Seconds that training waits for a checkpoint; what the copy takes when not given. */
  stall?: number | undefined
  /** Money for a device and hour. */
  price?: number | undefined
  /** Money for a kWh, where energy is paid apart. */
  electricity?: number | undefined
  /** Energy of the building over that of the devices. */
  overhead: number
  /** Seconds of a step that were measured, in place of those computed. */
  measuredStep?: number | undefined
  /** Histories to simulate. */
  histories: number
  seed: number
}

export interface Plan {
  model: { name: string; parameters: number; tensors: number; modality: 'text' | 'image' }
  hardware: string
  devices: number
  fits: boolean
  /** Bytes that a device may fill. */
  room: number
  /** The fastest way that fits; the smallest when none does. */
  chosen: Candidate
  ways: readonly Candidate[]
  steps: number
  secondsPerStep: number
  tokensPerSecond: number
  /** Model FLOPs over the peak, communication counted, breakdowns not. */
  utilisation: number
  /** Hours from start to end, breakdowns included. */
  hours: number
  deviceHours: number
  goodput: number
  breakdowns: Breakdowns
  /** Seconds of work between checkpoints. */
  interval: number
  expectedFailures: number
  /** Hours that checkpoints and breakdowns take. */
  lostHours: number
  energy: number
  money: number | undefined
  lostMoney: number | undefined
  spread: Spread | undefined
  figures: readonly Figure[]
  conventions: readonly string[]
  notes: readonly string[]
}

/** Plans a training. The request is checked (checkedRequest() in request.ts). */
export function planTraining(request: PlanRequest): Plan {
  const ways = candidatesFor(request)
  const best = bestOf(ways)
  const chosen = best ?? ways.reduce((least, each) => (each.memory.total < least.memory.total ? each : least))
  const secondsPerStep = request.measuredStep ?? chosen.step.total
  const steps = Math.ceil(request.tokens / request.batch)
  const breaking = breakdownsOf(request, steps * secondsPerStep)
  const hours = (steps * secondsPerStep) / 3600 / breaking.goodput
  const cost = costsOf(request, hours)
  const flops = trainingFlops(request.model, request.length) * workShare(request.method)
  const { model, devices, hardware, hardwareName } = request
  const plan = {
    model: {
      name: model.name,
      parameters: model.shape.parameters,
      tensors: countTensors(model),
      modality: model.modality,
    },
    ...{ hardware: hardwareName, devices, fits: best !== undefined, room: roomOf(request), chosen, ways },
    ...{ steps, secondsPerStep, tokensPerSecond: request.batch / secondsPerStep },
    utilisation: (flops * request.batch) / secondsPerStep / (devices * hardware.peak * 1e12),
    ...{ hours, deviceHours: hours * devices, ...breaking, ...cost },
    lostHours: hours * (1 - breaking.goodput),
    lostMoney: cost.money === undefined ? undefined : cost.money * (1 - breaking.goodput),
    spread: spreadOf(request, breaking, steps * secondsPerStep),
  }
  return {
    ...plan,
    figures: figuresOf(request, plan),
    conventions: conventionsOf(request),
    notes: notesOf(request, plan),
  }
}

function breakdownsOf(request: PlanRequest, work: number) {
  const { hardware, devices, failures, restart } = request
  const machines = Math.ceil(devices / hardware.perMachine)
  const stall = request.stall ?? copySeconds(request)
  const breakdowns = { meanTime: meanTimeBetween(machines, failures), stall, restart }
  // Checkpoints go to the disk one after another.
  const interval = Math.min(work, Math.max(bestInterval(breakdowns), stateBytes(request) / machines / DISK_RATE))
  const share = goodput(interval, breakdowns)
  return { breakdowns, interval, goodput: share, expectedFailures: work / share / breakdowns.meanTime }
}

/** Bytes a second that the disk of a machine writes. */
const DISK_RATE = 2e9

const stateBytes = (request: PlanRequest): number =>
  (STATE_BYTES.weight + STATE_BYTES.optimizer) * trainedParameters(request)

/** Training waits until its state is copied into the memory of the machine; the disk gets it meanwhile. */
function copySeconds(request: PlanRequest): number {
  if (request.hardware.kind === 'processor') return 0.01
  return stateBytes(request) / groupOf(request) / (request.hardware.hostLink * 1e9)
}

function costsOf({ hardware, devices, price, electricity, overhead }: PlanRequest, hours: number) {
  const energy = (hours * devices * hardware.watts * overhead) / 1000
  const parts = [price && hours * devices * price, electricity && energy * electricity].filter(
    (part) => part !== undefined,
  )
  return { energy, money: parts.length === 0 ? undefined : parts.reduce((sum, part) => sum + part, 0) }
}

function spreadOf(
  { histories, seed }: PlanRequest,
  { breakdowns, interval }: { breakdowns: Breakdowns; interval: number },
  work: number,
): Spread | undefined {
  return histories === 0 ? undefined : simulate({ work, interval, breakdowns, seed }, histories)
}

/** What the figures explain. */
export type Numbers = Omit<Plan, 'figures' | 'conventions' | 'notes'>

function conventionsOf(request: PlanRequest): string[] {
  const { hardware, price } = request
  const basis =
    price === undefined
      ? 'none is known: give --price'
      : price === hardware.price
        ? (hardware.priceBasis ?? 'from the catalogue')
        : 'as given, for a device and hour'
  return [
    `FLOPs: ${flopConventions.products}; left out here: ${request.model.leftOut}.`,
    `Utilisation: those FLOPs over ${request.devices} × ${short(hardware.peak * 1e12)} FLOP/s; efficiency ${request.efficiency} is the share reached while computing, before communication, recomputation and breakdowns.`,
    `Price: ${basis}. Idle time, storage, people and data are not in it.`,
    'Memory: GiB of 2^30 bytes; a device may be filled to 97 %.',
  ]
}

function notesOf(request: PlanRequest, plan: Numbers): string[] {
  const notes: string[] = []
  const { chosen, room } = plan
  if (!plan.fits)
    notes.push(
      `It does not fit: the smallest way needs ${(chosen.memory.total / 2 ** 30).toFixed(1)} GiB a device, and ${(room / 2 ** 30).toFixed(1)} are there. Hours and money are what it would take if it did.`,
    )
  if (request.hardware.kind !== 'processor' && request.devices > 1)
    notes.push(
      'Hearth itself has no collectives between GPUs yet: this is what the hardware needs for the job, not what Hearth does today.',
    )
  if (request.batch < request.devices * request.length)
    notes.push(
      `A batch of ${short(request.batch)} tokens has less than one sample for each of ${request.devices} devices: some would be idle.`,
    )
  if (plan.model.modality === 'image')
    notes.push('Encoders of text and pictures are not in it: their outputs are computed once and kept.')
  if (plan.goodput < 0.5)
    notes.push('Breakdowns take more than half of the time: save more cheaply or come back sooner.')
  return notes
}
