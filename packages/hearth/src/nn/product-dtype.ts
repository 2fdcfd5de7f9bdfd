// Where products of 16-bit floats are computed. Matrix units multiply bfloat16 and sum in float32. On a CPU without
// such instructions libtorch 1.13 does both in bfloat16: 10 to 20 times slower than float32, and 3 % off at 768 terms.
// There the operands are widened, multiplied in float32 and rounded once, which gives what the matrix units give.
// Not here: hearth::linear, which does so itself, by products of our own.
import { hasFastBfloat16, scope, type Tensor } from '@hearth/torch'

const emulated = !hasFastBfloat16()

/**
 * Runs `product` with `widen` to be applied to each tensor operand, and gives the result in the dtype of `x`.
 * @param x the operand whose dtype and device decide
 */
export function roundedOnce(x: Tensor, product: (widen: (operand: Tensor) => Tensor) => Tensor): Tensor {
  if (!emulated || x.dtype !== 'bfloat16' || x.device !== 'cpu') return product((operand) => operand)
  return scope(() => product((operand) => operand.to('float32')).to('bfloat16'))
}
