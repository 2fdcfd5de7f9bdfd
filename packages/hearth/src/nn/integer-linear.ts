// A linear layer whose weight is 8 or 4 bit integers, in groups of 64 inputs with a scale each: for running models, where
// a token costs what reading the weights costs. There are no gradients to such a weight, nor through it.
import { call, scope, type DType, type Tensor } from '@hearth/torch'

export type IntegerBits = 8 | 4

/** What belongs to the bytes of an integer weight. */
export interface IntegerWeight {
  /** (out / 16, in / 64, 16), both rounded up: bfloat16. */
  scales: Tensor
  outputs: number
  inputs: number
}

/** Bytes (out / 16, in / 64, 1024 or 512), and what belongs to them. */
export interface PackedLinear {
  weight: Tensor
  integers: IntegerWeight
}

/**
 * Packs a weight. With 8 bits it keeps its values within 0.4 % of the largest of their group, with 4 bits within 7 %.
 * @param weight (out, in), not changed
 */
export function packWeight(weight: Tensor, bits: IntegerBits): PackedLinear {
  const [outputs, inputs] = weight.shape as [number, number]
  const [bytes, scales] = call('hearth::quantise_weight', weight, bits) as [Tensor, Tensor]
  return { weight: bytes, integers: { scales, outputs, inputs } }
}

/** (out, in): what the integers stand for. */
export function unpackWeight({ weight, integers }: PackedLinear, dtype: DType = 'float32'): Tensor {
  const { scales, outputs, inputs } = integers
  return call('hearth::dequantise_weight', weight, scales, outputs, inputs, dtype) as Tensor
}

/**
 * y = activation(x Wᵀ + b) + residual. x becomes 8-bit integers too, group by group; a group's products are added exactly,
 * and groups in float32. A row's result does not depend on the rows beside it.
 * @param x (..., in), float32 or bfloat16 on the CPU
 * @returns (..., out)
 * @throws TorchError when the shapes do not fit
 */
export function integerLinear(
  { weight, integers }: PackedLinear,
  x: Tensor,
  { bias, residual, activation }: { bias?: Tensor; residual?: Tensor; activation?: string } = {},
): Tensor {
  const { scales, outputs } = integers
  return scope(() => call('hearth::linear_integer', x, weight, scales, outputs, bias, residual, activation) as Tensor)
}
