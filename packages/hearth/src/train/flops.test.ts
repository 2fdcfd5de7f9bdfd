// The operations of a step, by the convention that is named with every figure.
import { describe, expect, test } from 'vitest'
import { preset } from '../models/index.js'
import { flopsPerToken } from './flops.js'

const shapeOf = (name: string) => {
  const { family, config } = preset(name)
  return family.shape(config)
}

describe('operations a token', () => {
  test('are 6 for each weight of a product, and 12 d T for each layer', () => {
    // GPT-2 124M: 12 layers of 768; positions are looked up.
    const weights = 124_439_808 - 1024 * 768
    expect(flopsPerToken(shapeOf('gpt2-124m'), 1024)).toBe(6 * weights + 12 * 12 * 768 * 1024)
  })

  test('count a window in place of a longer text', () => {
    const dense = flopsPerToken({ ...shapeOf('gpt3-125m'), windows: [] }, 2048)
    expect(dense - flopsPerToken(shapeOf('gpt3-125m'), 2048)).toBe(12 * 768 * 6 * (2048 - 256))
    const short = flopsPerToken({ ...shapeOf('gpt3-125m'), windows: [] }, 128)
    expect(flopsPerToken(shapeOf('gpt3-125m'), 128)).toBe(short)
  })

  test('count the experts that a token visits: Mixtral 8x7B works like 12.9B', () => {
    const active = (flopsPerToken(shapeOf('mixtral-8x7b'), 0) / 6 + 32_000 * 4096) / 1e9
    expect(active).toBeCloseTo(12.88, 2)
  })

  test('count heads that are wider together than the model: Qwen3 0.6B', () => {
    const shape = shapeOf('qwen3-0.6b')
    expect(flopsPerToken(shape, 100) - flopsPerToken(shape, 0)).toBe(12 * 28 * 2048 * 100)
  })
})
