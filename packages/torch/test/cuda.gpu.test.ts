// What @hearth/torch promises of GPUs. Skipped where libtorch sees none: docs/guide/gpu.md.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  add,
  backward,
  cudaDeviceCount,
  Generator,
  manualSeed,
  memoryStats,
  ones,
  rand,
  randn,
  readSafetensors,
  scope,
  setMemoryLimit,
  softmax,
  tensor,
  TorchError,
  writeSafetensors,
  type Device,
  type DType,
  type Tensor,
} from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { expectClose, operatorCases } from './operator-cases.js'

// The cases are made even where they are skipped.
const device: Device = cudaDeviceCount() > 0 ? 'cuda' : 'cpu'
const describeGpu = describe.skipIf(device === 'cpu')
const FIRST = 'cuda:0'

describeGpu('an operator on a GPU', () => {
  test.each(Object.entries(operatorCases(device)))('%s', (_, run) => {
    const [got, expected] = run()
    expect(got.device).toBe(FIRST)
    expectClose(got, expected)
  })

  test('refuses tensors of two devices, and names their shapes', () => {
    expect(() => add(ones([2, 3], { device }), ones([2, 3]))).toThrow(/same device[^]*float32\[2, 3\]/)
  })
})

describeGpu('a tensor on a GPU', () => {
  const dtypes: DType[] = [
    ...(['float32', 'float64', 'float16', 'bfloat16'] as const),
    ...(['int8', 'int16', 'int32', 'int64', 'uint8', 'bool'] as const),
  ]
  test.each(dtypes)('of %s comes back with its values', (dtype) => {
    const there = tensor([0, 1, 1, 0], { dtype, shape: [2, 2] }).to({ device })
    expect([there.device, there.dtype, there.shape]).toEqual([FIRST, dtype, [2, 2]])
    expect(there.toNested()).toEqual([
      [0, 1],
      [1, 0],
    ])
  })

  test('has no typed array over its memory', () => {
    expect(() => ones([2], { device }).data()).toThrow(TorchError)
  })

  test('gets the gradient that it gets on the CPU', () => {
    const start = randn([16, 24], { dtype: 'float64', generator: new Generator(3) })
    const gradientOn = (where: Device): Tensor => {
      const x = start.clone().to({ device: where }).setRequiresGrad(true)
      backward(softmax(x.matmul(x.t()), 1).square().sum())
      expect(x.grad!.device).toBe(x.device)
      return x.grad!.to({ device: 'cpu' })
    }
    const [got, expected] = [gradientOn(device), gradientOn('cpu')]
    expect(expected.abs().amax().item()).toBeGreaterThan(0.01)
    expect(got.sub(expected).abs().amax().item()).toBeLessThan(1e-12)
  })

  test('is written to a file and read back', () => {
    const folder = mkdtempSync(join(tmpdir(), 'hearth-gpu-'))
    try {
      const x = randn([5, 7], { device, generator: new Generator(1, device) })
      writeSafetensors(join(folder, 'x.safetensors'), { turned: x.t() })
      using file = readSafetensors(join(folder, 'x.safetensors'))
      expect(file.tensor('turned').toNested()).toEqual(x.t().toNested())
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describeGpu('a generator on a GPU', () => {
  const draw = (generator: Generator) => rand([100], { device, generator }).toArray()

  test('gives the same numbers for the same seed, and others for another', () => {
    expect(draw(new Generator(7, device))).toEqual(draw(new Generator(7, device)))
    expect(draw(new Generator(7, device))).not.toEqual(draw(new Generator(8, device)))
  })

  test('goes on where it was, and starts over when it is seeded again', () => {
    const generator = new Generator(7, device)
    const [first, second] = [draw(generator), draw(generator)]
    expect(second).not.toEqual(first)
    expect(draw(generator.reseed(7))).toEqual(first)
  })

  test('is not one of the CPU', () => {
    expect(() => draw(new Generator(7))).toThrow(TorchError)
  })

  test('follows manualSeed() where none is named', () => {
    manualSeed(3)
    const first = rand([5], { device }).toArray()
    manualSeed(3)
    expect(rand([5], { device }).toArray()).toEqual(first)
  })

  test('draws numbers that are normal', () => {
    const x = randn([100_000], { device, generator: new Generator(12, device) })
    expect(x.mean().item()).toBeCloseTo(0, 1)
    expect(x.std().item()).toBeCloseTo(1, 1)
  })
})

describeGpu('memory of a GPU', () => {
  const MEBIBYTE = 2 ** 20

  test('is counted with its tensors, and not as memory of the CPU', () => {
    const before = memoryStats()
    const x = ones([64 * MEBIBYTE], { device, dtype: 'uint8' })
    const during = memoryStats()
    x.dispose()
    expect(during.liveBytes - before.liveBytes).toBe(64 * MEBIBYTE)
    expect(during.allocatedBytes - before.allocatedBytes).toBeLessThan(MEBIBYTE)
    expect(memoryStats().liveBytes).toBe(before.liveBytes)
  })

  test('is free again when the scope ends: more passes through than a GPU has', () => {
    for (let i = 0; i < 512; i++) scope(() => void ones([1024 * MEBIBYTE], { device, dtype: 'uint8' }))
    expect(ones([1], { device }).item()).toBe(1)
  })

  test('that is not there is an error with a remedy, after which work goes on', () => {
    expect(() => ones([2 ** 44], { device, dtype: 'uint8' })).toThrow(/out of memory[^]*remedy: .*memoryStats/)
    expect(ones([3], { device }).sum().item()).toBe(3)
  })

  test('is outside the limit for tensors of the CPU', () => {
    setMemoryLimit(memoryStats().allocatedBytes + MEBIBYTE)
    try {
      expect(() => ones([64 * MEBIBYTE])).toThrow(TorchError)
      expect(
        ones([64 * MEBIBYTE], { device, dtype: 'uint8' })
          .sum()
          .item(),
      ).toBe(64 * MEBIBYTE)
    } finally {
      setMemoryLimit(undefined)
    }
  })
})
