// The allocator as a user sees it: figures that are right, memory that is used again, and requests that cannot be met.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import {
  empty,
  memoryStats,
  ones,
  randn,
  releaseCachedMemory,
  resetPeakMemory,
  scope,
  setMemoryLimit,
  TorchError,
  zeros,
} from '@hearth/torch'
import { describe, expect, test } from 'vitest'

const MEBIBYTE = 2 ** 20
const sizes = [
  1, 16, 17, 100, 127, 128, 129, 200, 1000, 5000, 8175, 8192, 8193, 20_000, 65_535, 65_536, 70_000, 300_000, 1_100_000,
]

describe('memory of tensors', () => {
  test.each(sizes)('of %i floats is counted, wholly usable, and given back', (n) => {
    const before = memoryStats().allocatedBytes
    scope(() => {
      const [x, y] = [ones([n]), zeros([n])]
      expect(memoryStats().allocatedBytes - before).toBeGreaterThanOrEqual(8 * n)
      expect(memoryStats().allocatedBytes - before).toBeLessThan(8 * n * 1.26 + 16_384)
      expect(x.add(y).sum().item()).toBe(n)
      expect(y.sum().item()).toBe(0)
    })
    expect(memoryStats().allocatedBytes).toBe(before)
  })

  test('never overlaps, in any order of making and freeing', () => {
    scope(() => {
      const tensors = new Map<number, ReturnType<typeof ones>>()
      let seed = 7
      const next = (n: number) => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) % n
      for (let i = 0; i < 2000; i++) {
        const slot = next(40)
        tensors.get(slot)?.dispose()
        tensors.set(slot, empty([1 + next(next(4) === 0 ? 200_000 : 2000)]).fill_(slot))
      }
      for (const [slot, x] of tensors) expect([x.amin().item(), x.amax().item()]).toEqual([slot, slot])
    })
  })

  test('is aligned to 64 bytes', () => {
    scope(() => {
      for (const n of sizes) expect(ones([n]).data().byteOffset % 64).toBe(0)
    })
  })

  test('has a peak that can be set back', () => {
    const before = memoryStats().allocatedBytes
    scope(() => zeros([4 * MEBIBYTE]).numel)
    expect(memoryStats().peakBytes - before).toBeGreaterThanOrEqual(16 * MEBIBYTE)
    resetPeakMemory()
    expect(memoryStats().peakBytes - before).toBeLessThan(MEBIBYTE)
  })

  test('that was freed is kept within the peak, and given back on demand', () => {
    resetPeakMemory()
    scope(() => [4, 2].map((millions) => ones([millions * MEBIBYTE]).add_(1).numel))
    for (let i = 1; i < 40; i++) scope(() => ones([i * 50_000]).add(1).numel)
    const { cachedBytes, peakBytes, allocatedBytes } = memoryStats()
    expect(cachedBytes).toBeGreaterThan(16 * MEBIBYTE)
    expect(cachedBytes + allocatedBytes).toBeLessThan(peakBytes * 1.07)
    const resident = process.memoryUsage().rss
    releaseCachedMemory()
    expect(memoryStats().cachedBytes).toBe(0)
    expect(resident - process.memoryUsage().rss).toBeGreaterThan(cachedBytes / 2)
  })

  test('is used again by the next step instead of being mapped anew', () => {
    const step = () =>
      scope(() =>
        randn([1000, 1000])
          .matmul(ones([1000, 1000]))
          .add(1)
          .sum()
          .item(),
      )
    for (let i = 0; i < 3; i++) step()
    const before = process.resourceUsage().minorPageFault
    for (let i = 0; i < 5; i++) step()
    // Each step makes 16 MB: 4,000 pages.
    expect(process.resourceUsage().minorPageFault - before).toBeLessThan(4000)
  })
})

describe('a request beyond the machine', () => {
  test.each([[[1e12]], [[2 ** 40, 4]], [[1e15]]])('of shape %j is an error that says how much there is', (shape) => {
    expect(() => zeros(shape)).toThrow(TorchError)
    expect(() => zeros(shape)).toThrow(/cannot allocate [\d.]+ GiB of memory: this machine has [\d.]+ GiB available/)
  })

  test.each([[[2 ** 31, 2 ** 31, 2 ** 31]], [[2 ** 52, 2 ** 52]], [[2 ** 53 - 1, 2]]])(
    'of shape %j is an error',
    (shape) => {
      expect(() => zeros(shape)).toThrow(TorchError)
    },
  )

  test('leaves what is there untouched', () => {
    const x = ones([1000])
    expect(() => x.expand([10 ** 10, 1000]).contiguous()).toThrow(/cannot allocate/)
    expect(x.sum().item()).toBe(1000)
    x.dispose()
  })
})

test('a limit is kept, and lifted', () => {
  const used = memoryStats().allocatedBytes
  setMemoryLimit(used + 64 * MEBIBYTE)
  const message = /cannot allocate 0\.1 GiB of memory: 0\.0 GiB of the limit of 0\.1 GiB are in use/
  expect(() => zeros([32 * MEBIBYTE])).toThrow(message)
  scope(() =>
    expect(
      zeros([8 * MEBIBYTE])
        .sum()
        .item(),
    ).toBe(0),
  )
  setMemoryLimit(undefined)
  scope(() => expect(zeros([32 * MEBIBYTE]).numel).toBe(32 * MEBIBYTE))
})

test('HEARTH_ALLOCATOR=system leaves the memory to libtorch', () => {
  const source = fileURLToPath(new URL('../src/index.ts', import.meta.url))
  const script = `const { ones, memoryStats } = await import(${JSON.stringify(source)});
    const x = ones([1e6]); console.log(x.sum().item(), memoryStats().allocatedBytes)`
  const output = execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    env: { ...process.env, HEARTH_ALLOCATOR: 'system' },
    encoding: 'utf8',
  })
  expect(output.trim()).toBe('1000000 0')
})
