// Muon's own mathematics; its ten steps are compared with a recording in recorded.test.ts.
import { ConfigError, Generator, memoryStats, randn, tensor, type Tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { muon, orthogonalize } from './index.js'

const live = () => ({ tensors: memoryStats().liveTensors, bytes: memoryStats().liveBytes })
const generator = new Generator(11)
const random = (shape: number[]) => randn(shape, { generator })

/** Lengths of the rows and the largest product of two different rows. */
function gram(matrix: Tensor): { lengths: number[]; crosstalk: number } {
  const rows = matrix.matmul(matrix.transpose(0, 1)).toNested() as number[][]
  const others = rows.flatMap((row, i) => row.filter((_, j) => i !== j).map(Math.abs))
  return { lengths: rows.map((row, i) => Math.sqrt(row[i]!)), crosstalk: Math.max(...others) }
}

describe('orthogonalize', () => {
  test.each([
    ['wide', [4, 64]],
    ['tall', [64, 4]],
  ])('makes a %s matrix nearly orthonormal along its short side, whatever its scale', (_, shape) => {
    for (const scale of [1e-4, 1, 1e4]) {
      const made = orthogonalize(random(shape).mul(scale))
      expect(made.shape).toEqual(shape)
      const { lengths, crosstalk } = gram(shape[0]! < shape[1]! ? made : made.transpose(0, 1))
      for (const length of lengths) expect(Math.abs(length - 0.95)).toBeLessThan(0.3)
      expect(crosstalk).toBeLessThan(0.35)
    }
  })

  test('keeps the singular directions', () => {
    // A diagonal matrix has them along the axes, so the result is diagonal too, with the signs kept.
    const made = orthogonalize(
      tensor([
        [3, 0],
        [0, -0.5],
      ]),
    ).toNested() as number[][]
    expect(made[0]![1]).toBeCloseTo(0, 6)
    expect(Math.abs(made[0]![0]! - 0.95)).toBeLessThan(0.3)
    expect(Math.abs(made[1]![1]! + 0.95)).toBeLessThan(0.3)
  })

  test('of zeros is zeros', () => {
    expect(
      orthogonalize(
        tensor([
          [0, 0],
          [0, 0],
        ]),
      ).toArray(),
    ).toEqual([0, 0, 0, 0])
  })

  test('in bfloat16 points the same way', () => {
    const matrix = random([16, 48])
    const [exact, rough] = [orthogonalize(matrix), orthogonalize(matrix, { dtype: 'bfloat16' }).to('float32')]
    const dot = (a: Tensor, b: Tensor) => a.mul(b).sum().item()
    expect(dot(exact, rough) / Math.sqrt(dot(exact, exact) * dot(rough, rough))).toBeGreaterThan(0.98)
  })
})

describe('muon', () => {
  const shapes: Record<string, number[]> = {
    'embedding.weight': [10, 4],
    'blocks.0.attention.query.weight': [4, 4],
    'blocks.0.attention.query.bias': [4],
    'blocks.0.norm.weight': [4],
    'head.weight': [10, 4],
  }
  const make = () => Object.fromEntries(Object.entries(shapes).map(([path, shape]) => [path, random(shape)]))

  test('takes the matrices of the blocks and leaves the rest to AdamW', () => {
    expect(Object.keys(muon().init(make())).sort()).toEqual(
      [
        'momentum.blocks.0.attention.query.weight',
        ...Object.keys(shapes)
          .filter((path) => !path.includes('query.weight'))
          .flatMap((path) => [`m.${path}`, `v.${path}`]),
      ].sort(),
    )
  })

  test('has a learning rate of its own for matrices', () => {
    const weights = make()
    const before = Object.fromEntries(Object.entries(weights).map(([path, weight]) => [path, weight.clone()]))
    const optimizer = muon({ matrixLearningRateScale: 0, weightDecay: 0, adamw: { weightDecay: 0 } })
    optimizer.update({ weights, gradients: make(), state: optimizer.init(weights), step: 0, learningRate: 0.1 })
    const moved = Object.keys(weights).filter((path) => weights[path]!.sub(before[path]!).abs().max().item() > 0)
    expect(moved).toEqual(Object.keys(shapes).filter((path) => !path.includes('query.weight')))
  })

  test('leaves no tensors behind', () => {
    const [weights, gradients, optimizer] = [make(), make(), muon()]
    const state = optimizer.init(weights)
    const before = live()
    for (let step = 0; step < 20; step++) optimizer.update({ weights, gradients, state, step, learningRate: 0.01 })
    expect(live()).toEqual(before)
  })

  test('reports every wrong setting at once, those of its AdamW too', () => {
    const attempt = () => muon({ momentum: 1, newtonSchulzSteps: 0.5, weightDecay: Number.NaN, adamw: { eps: 0 } })
    expect(attempt).toThrow(ConfigError)
    expect(attempt).toThrow(/momentum(.|\n)*newtonSchulzSteps(.|\n)*weightDecay(.|\n)*adamw\.eps/)
  })
})
