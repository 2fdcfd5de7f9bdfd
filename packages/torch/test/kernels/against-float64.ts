// How kernels are tested: the same operator on float64 inputs runs its reference form, made of ATen's operators, and the
// kernel's float32 and bfloat16 results and gradients are held against that.
import { expect } from 'vitest'
import { backward, call, Generator, randn, scope, type DType, type Tensor } from '../../src/index.js'

/** Largest error, relative to the largest magnitude of what is expected. */
export const TOLERANCE = { float32: 1e-5, bfloat16: 1e-2 } as const
export type KernelDType = keyof typeof TOLERANCE
export const KERNEL_DTYPES: readonly KernelDType[] = ['float32', 'bfloat16']

type Shape = readonly number[]

/** Normal numbers in `dtype`: the float64 oracle gets the same ones. */
export function normal(shape: Shape, dtype: DType, seed: number): Tensor {
  return randn(shape, { generator: new Generator(seed) }).to(dtype)
}

/** ‖got - want‖∞ / ‖want‖∞, both in float64. */
export function relativeError(got: Tensor, want: Tensor): number {
  return scope(() => {
    const expected = want.detach().to('float64')
    const scale = expected.abs().max().item()
    return got.detach().to('float64').sub(expected).abs().max().item() / Math.max(scale, 1e-30)
  })
}

/**
 * Runs `operation` on `inputs` and on their float64 copies, forward and backward with the same upstream gradient, and
 * expects every result and gradient to agree.
 * @param operation gives one tensor, which depends on every input
 */
export function expectLikeFloat64(
  operation: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  dtype: KernelDType,
): void {
  scope(() => {
    const kernel = run(operation, inputs)
    const oracle = run(
      operation,
      inputs.map((input) => (input.dtype === dtype ? input.to('float64') : input)),
    )
    for (const [index, got] of kernel.entries())
      expect(relativeError(got, oracle[index]!), `result ${index}`).toBeLessThan(TOLERANCE[dtype])
  })
}

/** The output, then the gradient of each floating input. */
function run(operation: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[]): Tensor[] {
  const isFloating = (x: Tensor) => /^b?float/.test(x.dtype)
  const leaves = inputs.map((input) => (isFloating(input) ? input.detach().setRequiresGrad(true) : input))
  const output = operation(...leaves)
  const upstream = normal(output.shape, 'bfloat16', 99).to(output.dtype)
  backward(output, { gradient: upstream })
  return [output, ...leaves.filter(isFloating).map((leaf) => leaf.grad!)]
}

/** Calls an operator of ours that gives one tensor. */
export const hearthOperator =
  (name: string) =>
  (...args: unknown[]): Tensor =>
    call(`hearth::${name}`, ...args) as Tensor
