// Autograd: gradients of scalars, and code that records none.
import { native } from './native.js'
import type { Tensor } from './tensor.js'
import { handles, wrapTuple } from './wrap.js'

/**
 * Runs `body` without recording for autograd.
 * @example
 * noGrad(() => weight.sub_(gradient.mul(0.1)))
 */
export function noGrad<T>(body: () => T): T {
  return withGrad(false, body)
}

/** Runs `body` with recording switched on again, inside noGrad(). */
export function enableGrad<T>(body: () => T): T {
  return withGrad(true, body)
}

function withGrad<T>(enabled: boolean, body: () => T): T {
  const before = native.setGradEnabled(enabled)
  try {
    return body()
  } finally {
    native.setGradEnabled(before)
  }
}

export interface BackwardOptions {
  /** Upstream gradient, of the output's shape; ones for a scalar when it is not given. */
  gradient?: Tensor
  /** Keep the graph for another backward pass. */
  retainGraph?: boolean
}

/**
 * Adds the gradients of `output` to `.grad` of every leaf that requires them.
 * @throws TorchError when `output` is not a scalar and no gradient is given, or records nothing
 */
export function backward(output: Tensor, options: BackwardOptions = {}): void {
  const { gradient, retainGraph = false } = options
  native.backward([output.handle], gradient === undefined ? undefined : [gradient.handle], retainGraph)
}

export interface GradOptions {
  gradOutputs?: readonly Tensor[]
  retainGraph?: boolean
  createGraph?: boolean
}

/**
 * The gradients of `outputs` with respect to `inputs`, in their order; undefined for an input that is not used.
 * `.grad` is left alone.
 * @example
 * const [dw] = grad([loss], [w])
 */
export function grad(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  options: GradOptions = {},
): (Tensor | undefined)[] {
  const { gradOutputs, createGraph = false, retainGraph = createGraph } = options
  const upstream = gradOutputs === undefined ? undefined : (handles(gradOutputs) as number[])
  return wrapTuple(
    native.gradients(handles(outputs) as number[], handles(inputs) as number[], upstream, retainGraph, createGraph),
  )
}
