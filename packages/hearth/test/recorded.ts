// What PyTorch recorded (fixtures/README.md), opened for tests, and the distance to it.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { readSafetensors, type SafetensorsFile, type Tensor } from '@hearth/torch'

/** The path of a file of the fixtures folder. */
export const fixture = (name: string): string => fileURLToPath(new URL(`../../../fixtures/${name}`, import.meta.url))

/** A JSON file of the fixtures folder, said to be a T. */
export const recordedJson = <T>(name: string): T => JSON.parse(readFileSync(fixture(name), 'utf8')) as T

/** A safetensors file of the fixtures folder. */
export const recordedTensors = (name: string): SafetensorsFile => readSafetensors(fixture(name))

/** Promised relative distance to the recording. */
export const TOLERANCE = { float32: 1e-5, bfloat16: 1e-2 } as const

/** ‖a - b‖ / ‖b‖, as fixtures/README.md compares. */
export function relativeDistance(a: Tensor, b: Tensor): number {
  if (a.shape.join() !== b.shape.join()) throw new Error(`shapes differ: [${a.shape.join()}] and [${b.shape.join()}]`)
  const [wideA, wideB] = [a.to('float64'), b.to('float64')]
  return wideA.sub(wideB).linalgVectorNorm().item() / wideB.linalgVectorNorm().item()
}
