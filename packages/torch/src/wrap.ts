// From handles of the native module to Tensor objects. Kept apart from tensor.ts so that generated code and the class
// that extends it need not import each other.
import type { Tensor } from './tensor.js'

let construct: (handle: number) => Tensor

/** Called once by tensor.ts. */
export function setTensorConstructor(constructor: (handle: number) => Tensor): void {
  construct = constructor
}

/** The operator's one result. */
export function wrap(handle: unknown): Tensor {
  return construct(handle as number)
}

export function wrapList<T extends Tensor[]>(list: unknown): T {
  return (list as number[]).map((handle) => construct(handle)) as T
}

/** Several results, of which some may be plain numbers or missing. */
export function wrapTuple<T extends unknown[]>(list: unknown): T {
  return (list as (number | undefined)[]).map((handle) => (handle === undefined ? undefined : construct(handle))) as T
}

/** Handles of a list of tensors, keeping its gaps. What is no list is left for the native call to refuse by name. */
export function handles(tensors: readonly (Tensor | undefined)[]): (number | undefined)[] {
  return Array.isArray(tensors) ? tensors.map((tensor: Tensor | undefined) => tensor?.handle) : (tensors as never)
}

/** `convert(value)`, or undefined for the operator's own default. */
export function optional<T, R>(value: T | undefined, convert: (value: T) => R): R | undefined {
  return value === undefined ? undefined : convert(value)
}
