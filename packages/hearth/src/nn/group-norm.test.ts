// Group norm against libtorch's own, whose images have their channels second.
import { call, Generator, randn, scope, zeros, type Tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { relativeDistance } from '../../test/recorded.js'
import { channelsLast, groupNorm } from './index.js'

const generator = new Generator(1)
const normal = (shape: number[]): Tensor => randn(shape, { generator })
const plain = (x: Tensor, weight: Tensor, bias: Tensor): Tensor =>
  channelsLast(call('aten::group_norm', x, 4, weight, bias, 1e-5) as Tensor)

describe('groupNorm', () => {
  test('is what libtorch gives', () => {
    scope(() => {
      const [x, weight, bias] = [normal([2, 12, 5, 6]), normal([12]), normal([12])] // (B, C, H, W)
      const got = groupNorm({ weight, bias }, channelsLast(x), { groups: 4, eps: 1e-5 })
      expect(relativeDistance(got, plain(x, weight, bias))).toBeLessThan(1e-5)
    })
  })

  test('adds the shift before and applies the SiLU after', () => {
    scope(() => {
      const [x, weight, bias, shift] = [normal([2, 12, 5, 6]), normal([12]), normal([12]), normal([2, 12])]
      const got = groupNorm({ weight, bias }, channelsLast(x), { groups: 4, eps: 1e-5, shift, silu: true })
      const want = plain(x.add(shift.view([2, 12, 1, 1])), weight, bias).silu()
      expect(relativeDistance(got, want)).toBeLessThan(1e-5)
    })
  })

  test('refuses groups that do not divide the channels', () => {
    const [weight, bias] = [zeros([6]), zeros([6])]
    expect(() => groupNorm({ weight, bias }, zeros([1, 2, 2, 6]), { groups: 4, eps: 1e-5 })).toThrow(/6 channels/)
  })
})
