// Random numbers: seeded generators that operators draw from. Training does not rely on their history: it seeds one
// anew for each (step, slot, stream).
import type { Device } from './device.js'
import { native } from './native.js'

/** Seeds libtorch's default generators, for code that names no generator. */
export function manualSeed(seed: number): void {
  native.manualSeed(seed)
}

const collected = new FinalizationRegistry<number>((handle) => native.releaseGenerator(handle))

/**
 * A random generator of its own.
 * @example
 * randn([2, 3], { generator: new Generator(7) })
 */
export class Generator {
  /** @internal */
  readonly handle: number

  /** @param seed an integer from 0 to 2^53 - 1 */
  constructor(seed: number, device: Device = 'cpu') {
    this.handle = native.createGenerator(device, seed)
    collected.register(this, this.handle)
  }

  /** Starts over from another seed. */
  reseed(seed: number): this {
    native.seedGenerator(this.handle, seed)
    return this
  }
}
