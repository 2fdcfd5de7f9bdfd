// Devices: their names, and how many there are.
import { native } from './native.js'

/** `cpu`, `cuda` (the current GPU) or `cuda:1`. */
export type Device = 'cpu' | 'cuda' | `cuda:${number}`

/** Number of GPUs that the loaded libtorch can use; 0 for a CPU build. */
export const cudaDeviceCount = (): number => native.deviceCount()
