import { backward, Generator, randn, tensor, type Tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { crossEntropy, linear, linearCrossEntropy } from './index.js'

const generator = new Generator(1)
const hidden = randn([2, 3, 8], { generator })
const weight = randn([5, 8], { generator })
const targets = tensor(
  [
    [0, 4, 2],
    [-100, 1, 3],
  ],
  { dtype: 'int64' },
)

function gradientsOf(loss: (x: Tensor, w: Tensor) => Tensor): number[][] {
  const [x, w] = [hidden.detach().setRequiresGrad(true), weight.detach().setRequiresGrad(true)]
  const value = loss(x, w)
  backward(value)
  return [value, x.grad!, w.grad!].map((tensor) => tensor.toArray())
}

describe.each(['mean', 'sum'] as const)('the fused loss, %s', (reduction) => {
  test('is cross-entropy behind the projection, with its gradients', () => {
    const fused = gradientsOf((x, w) => linearCrossEntropy({ weight: w }, x, targets, { reduction }))
    const plain = gradientsOf((x, w) => crossEntropy(linear({ weight: w }, x), targets, { reduction }))
    fused.forEach((values, i) => values.forEach((value, j) => expect(value).toBeCloseTo(plain[i]![j]!, 5)))
  })
})

test('of bfloat16 it is float32, and the gradients are bfloat16', () => {
  const x = hidden.to('bfloat16').setRequiresGrad(true)
  const loss = linearCrossEntropy({ weight: weight.to('bfloat16') }, x, targets)
  backward(loss)
  expect([loss.dtype, x.grad!.dtype]).toEqual(['float32', 'bfloat16'])
})
