// What training in step costs the network: bytes and seconds of a step's collectives, and training that exchanges seldom.
import type { Sharding } from '../train/index.js'
import type { Hardware } from './hardware.js'

/** Share of a link's rate that collectives reach: 70 to 90 % in real systems. */
export const LINK_EFFICIENCY = 0.8
/** Seconds that each of the 2 (m - 1) rounds of a ring takes besides its bytes. */
const LATENCY = 20e-6

/** Passes over the weights a step: an all-reduce is a reduce-scatter and an all-gather; `everything` gathers twice. */
export const passesOf = (sharding: Sharding): number => (sharding === 'everything' ? 3 : 2)

export interface Exchange {
  hardware: Hardware
  devices: number
  /** GB/s of a machine to the others. */
  network: number
  /** Bytes that are exchanged, whole. */
  bytes: number
  passes: number
}

/**
 * Seconds of a collective, in rings: passes × bytes × (n - 1) / n over the link of each device inside a machine, then the
 * same between machines over their network.
 */
export function exchangeSeconds({ hardware, devices, network, bytes, passes }: Exchange): number {
  const inside = Math.min(devices, hardware.perMachine)
  const machines = Math.ceil(devices / hardware.perMachine)
  const within = (passes * bytes * (inside - 1)) / inside / (hardware.link * 1e9 * LINK_EFFICIENCY)
  const between = (passes * bytes * (machines - 1)) / machines / (network * 1e9 * LINK_EFFICIENCY)
  return within + between + 2 * (machines - 1) * LATENCY
}

/**
 * Share of the time that computing has, when machines exchange their weights after every `steps` steps of their own
 * (DiLoCo, Douillard et al. 2023): H t / (H t + exchange). INTELLECT-1 reached 83 to 96 % with 100 steps.
 */
export function lowCommunicationShare(options: { steps: number; stepSeconds: number; exchange: number }): number {
  const { steps, stepSeconds, exchange } = options
  return (steps * stepSeconds) / (steps * stepSeconds + exchange)
}
