import { backward, Generator, memoryStats, ones, randn, tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { crossEntropy } from './index.js'

const logits = randn([2, 3, 5], { generator: new Generator(1) })
const targets = tensor(
  [
    [0, 4, 2],
    [-100, 1, 3],
  ],
  { dtype: 'int64' },
)

describe('cross-entropy', () => {
  test('equal logits cost the logarithm of their number', () => {
    expect(crossEntropy(ones([1, 2, 7]), tensor([[3, 6]], { dtype: 'int64' })).item()).toBeCloseTo(Math.log(7), 6)
  })

  test('mean, sum and single losses agree, and ignored targets count for nothing', () => {
    const each = crossEntropy(logits, targets, { reduction: 'none' })
    expect(each.shape).toEqual([2, 3])
    const losses = each.toArray()
    expect(losses[3]).toBe(0)
    const sum = losses.reduce((total, loss) => total + loss, 0)
    expect(crossEntropy(logits, targets, { reduction: 'sum' }).item()).toBeCloseTo(sum, 5)
    expect(crossEntropy(logits, targets).item()).toBeCloseTo(sum / 5, 5)
  })

  test('another number can mark ignored targets', () => {
    const marked = tensor(
      [
        [0, 4, 2],
        [2, 1, 3],
      ],
      { dtype: 'int64' },
    )
    expect(
      crossEntropy(logits, marked, { ignoreIndex: 2, reduction: 'none' })
        .toArray()
        .filter((loss) => loss === 0),
    ).toHaveLength(2)
  })

  test('it is float32 for bfloat16 logits, and their gradient is bfloat16', () => {
    const half = logits.to('bfloat16').setRequiresGrad(true)
    const loss = crossEntropy(half, targets)
    expect(loss.dtype).toBe('float32')
    backward(loss)
    expect(half.grad!.dtype).toBe('bfloat16')
  })

  test('a target that is no class is refused', () => {
    expect(() =>
      crossEntropy(
        logits,
        tensor(
          [
            [0, 5, 2],
            [0, 1, 3],
          ],
          { dtype: 'int64' },
        ),
      ),
    ).toThrow(/out of bounds/)
  })

  test('it leaves nothing behind but its result', () => {
    const before = memoryStats().liveTensors
    const loss = crossEntropy(logits, targets)
    expect(memoryStats().liveTensors).toBe(before + 1)
    loss.dispose()
  })
})
