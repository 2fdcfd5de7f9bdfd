// Random numbers: a seed gives the same ones everywhere, and each generator is on its own.
import { Generator, manualSeed, rand, randn, randperm, TorchError, zeros } from '@hearth/torch'
import { describe, expect, test } from 'vitest'

describe('a generator', () => {
  test('gives the same numbers for the same seed, and others for another', () => {
    const draw = (seed: number) => randn([100], { generator: new Generator(seed) }).toArray()
    expect(draw(7)).toEqual(draw(7))
    expect(draw(7)).not.toEqual(draw(8))
  })

  test('gives the numbers of PyTorch', () => {
    // torch.manual_seed(0); torch.rand(3)
    const expected = [0.49625658988952637, 0.7682217955589294, 0.08847743272781372]
    expect(rand([3], { generator: new Generator(0) }).toArray()).toEqual(expected)
  })

  test('goes on where it was, whatever others draw', () => {
    const [a, b] = [new Generator(1), new Generator(1)]
    const first = rand([4], { generator: a }).toArray()
    rand([100])
    const second = rand([4], { generator: a }).toArray()
    expect([...first, ...second]).toEqual(
      [rand([4], { generator: b }), rand([4], { generator: b })].flatMap((x) => x.toArray()),
    )
  })

  test('starts over when it is seeded again', () => {
    const generator = new Generator(5)
    const first = randperm(10, { generator }).toArray()
    expect(randperm(10, { generator: generator.reseed(5) }).toArray()).toEqual(first)
  })

  test('fills in place', () => {
    const fill = (seed: number) =>
      zeros([50])
        .normal_({ mean: 2, std: 0.5, generator: new Generator(seed) })
        .toArray()
    expect(fill(1)).toEqual(fill(1))
    expect(fill(1)).not.toEqual(fill(2))
  })

  test.each([['x'], [0.5], [NaN], [2 ** 53]])('refuses the seed %s', (seed) => {
    expect(() => new Generator(seed as number)).toThrow(TorchError)
  })
})

describe('numbers drawn', () => {
  test('are uniform on [0, 1)', () => {
    const x = rand([100_000], { generator: new Generator(11) })
    expect(x.mean().item()).toBeCloseTo(0.5, 2)
    expect(x.amin().item()).toBeGreaterThanOrEqual(0)
    expect(x.amax().item()).toBeLessThan(1)
  })

  test('are normal', () => {
    const x = randn([100_000], { generator: new Generator(12) })
    expect(x.mean().item()).toBeCloseTo(0, 1)
    expect(x.std().item()).toBeCloseTo(1, 1)
    expect(x.abs().lt(1).to('float32').mean().item()).toBeCloseTo(0.683, 2)
  })

  test('follow manualSeed() where no generator is named', () => {
    manualSeed(3)
    const first = rand([5]).toArray()
    manualSeed(3)
    expect(rand([5]).toArray()).toEqual(first)
  })
})
