// The convolution against libtorch's own, whose images have their channels second.
import { call, Generator, randn, scope, zeros, type Tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { relativeDistance } from '../../test/recorded.js'
import { channelsLast, channelsSecond, conv2d, type Conv2dOptions } from './index.js'

const generator = new Generator(1)
const normal = (shape: number[]): Tensor => randn(shape, { generator })

/** aten::conv2d of images and weights as PyTorch has them, the padding written out. */
function plain(x: Tensor, weight: Tensor, bias: Tensor, stride: number, [top, bottom, left, right]: number[]): Tensor {
  const padded = call('aten::constant_pad_nd', x, [left, right, top, bottom], 0) as Tensor
  return call('aten::conv2d', padded, weight, bias, [stride, stride]) as Tensor
}

describe('conv2d', () => {
  test.each([
    [{ padding: 1 }, 1, [1, 1, 1, 1]],
    [{ stride: 2, padding: 1 }, 2, [1, 1, 1, 1]],
    [{ stride: 2, padding: [0, 1, 0, 1] }, 2, [0, 1, 0, 1]],
    [{}, 1, [0, 0, 0, 0]],
  ] satisfies [Conv2dOptions, number, number[]][])('with %j is what libtorch gives', (options, stride, padding) => {
    scope(() => {
      const [x, weight, bias] = [normal([2, 5, 10, 9]), normal([7, 5, 3, 3]), normal([7])] // as PyTorch has them
      const got = conv2d({ weight: channelsLast(weight), bias }, channelsLast(x), options)
      expect(relativeDistance(channelsSecond(got), plain(x, weight, bias, stride, padding))).toBeLessThan(1e-5)
    })
  })

  test('with upsample is that of the image with every pixel four times', () => {
    scope(() => {
      const [x, weight] = [normal([1, 5, 6, 4]), normal([3, 3, 3, 4])]
      const large = x.repeatInterleave(2, { dim: 1 }).repeatInterleave(2, { dim: 2 }) // (1, 10, 12, 4)
      const want = conv2d({ weight }, large, { padding: 1 })
      expect(relativeDistance(conv2d({ weight }, x, { padding: 1, upsample: true }), want)).toBeLessThan(1e-5)
    })
  })

  test('adds the residual after the activation', () => {
    scope(() => {
      const [x, weight, residual] = [normal([1, 4, 4, 3]), normal([6, 1, 1, 3]), normal([1, 4, 4, 6])]
      const want = conv2d({ weight }, x).silu().add(residual)
      expect(relativeDistance(conv2d({ weight }, x, { activation: 'silu', residual }), want)).toBeLessThan(1e-5)
    })
  })

  test('refuses an image with its channels elsewhere', () => {
    expect(() => conv2d({ weight: zeros([4, 3, 3, 3]) }, zeros([1, 3, 8, 8]))).toThrow(/batch, height, width, in/)
  })
})
