// Who frees a tensor, and that nobody can reach memory that is gone.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  arange,
  DisposedError,
  HearthError,
  keep,
  memoryStats,
  noGrad,
  ones,
  scope,
  Tensor,
  zeros,
} from '@hearth/torch'
import { describe, expect, test } from 'vitest'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

const live = () => memoryStats().liveTensors

describe('a scope', () => {
  test('frees what is made inside and keeps what it returns', () => {
    const before = live()
    const inner: Tensor[] = []
    const kept = scope(() => {
      inner.push(ones([4]), ones([4]).mul(2))
      return inner[1]!.add(1)
    })
    expect(inner.every((tensor) => tensor.disposed)).toBe(true)
    expect(kept.toArray()).toEqual([3, 3, 3, 3])
    kept.dispose()
    expect(live()).toBe(before)
  })

  test.each([
    ['an array', (x: Tensor) => [x, 1]],
    ['an object', (x: Tensor) => ({ a: { b: x } })],
    ['a map', (x: Tensor) => new Map([['x', x]])],
    ['an array in an object', (x: Tensor) => ({ list: [[x]], nothing: null })],
  ])('keeps the tensors within %s', (_, hold) => {
    let x: Tensor | undefined
    scope(() => hold((x = ones([2]))))
    expect(x!.disposed).toBe(false)
    x!.dispose()
  })

  test('hands what it returns on to the scope around it', () => {
    let x: Tensor | undefined
    scope(() => {
      x = scope(() => ones([2]).add(1))
      expect(x.toArray()).toEqual([2, 2])
    })
    expect(x!.disposed).toBe(true)
  })

  test('leaves tensors of the scope around it alone', () => {
    scope(() => {
      const outer = ones([2])
      scope(() => ones([2]))
      scope(() => outer)
      expect(outer.toArray()).toEqual([1, 1])
    })
  })

  test('frees everything when its body throws', () => {
    const before = live()
    expect(() =>
      scope(() => {
        ones([2])
        throw new Error('out')
      }),
    ).toThrow('out')
    expect(live()).toBe(before)
    scope(() => expect(live()).toBe(before))
  })

  test('refuses an async body', () => {
    expect(() => scope(() => Promise.resolve(ones([2])))).toThrow(HearthError)
    expect(() => scope(() => Promise.resolve(ones([2])))).toThrow(/async function/)
  })

  test('does not free what keep() took out of it', () => {
    const x = scope(() => {
      keep(ones([2]))
      return { x: keep(ones([3])) }
    }).x
    expect(x.shape).toEqual([3])
    x.dispose()
  })

  test('keeps a thousand steps at constant memory', () => {
    const step = () => scope(() => ones([1000]).mul(2).sum().item())
    step()
    const { liveTensors, allocatedBytes } = memoryStats()
    for (let i = 0; i < 1000; i++) step()
    expect(memoryStats()).toMatchObject({ liveTensors, allocatedBytes })
  })
})

describe('dispose()', () => {
  test('frees at once, a second time does nothing', () => {
    const before = memoryStats()
    const x = zeros([1000])
    expect(memoryStats().liveBytes - before.liveBytes).toBe(4000)
    x.dispose()
    x.dispose()
    expect(memoryStats()).toMatchObject({ liveTensors: before.liveTensors, liveBytes: before.liveBytes })
    expect(x.disposed).toBe(true)
  })

  test('by using, at the end of the block', () => {
    const before = live()
    {
      using x = ones([2])
      expect(x.disposed).toBe(false)
    }
    expect(live()).toBe(before)
  })

  test.each<[string, (x: Tensor) => unknown]>([
    ['an operator', (x) => x.add(1)],
    ['shape', (x) => x.shape],
    ['dtype', (x) => x.dtype],
    ['data()', (x) => x.data()],
    ['item()', (x) => x.item()],
    ['to()', (x) => x.to('float64')],
    ['requiresGrad', (x) => x.requiresGrad],
    ['grad', (x) => x.grad],
  ])('makes %s a DisposedError that says what to do', (_, use) => {
    const x = ones([1])
    x.dispose()
    expect(() => use(x)).toThrow(DisposedError)
    expect(() => use(x)).toThrow(/was disposed\n {2}remedy: keep the tensor out of the scope/)
  })

  test('leaves views of the same memory alive', () => {
    const x = arange(0, 6)
    const view = x.view([2, 3])
    x.dispose()
    expect(view.toNested()).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ])
    view.dispose()
  })

  test('never lets a stale handle reach a newer tensor', () => {
    const old = ones([2])
    const { handle } = old
    old.dispose()
    const young = Array.from({ length: 100 }, () => ones([3]))
    expect(young.every((tensor) => tensor.handle !== handle)).toBe(true)
    const forged = Object.assign(Object.create(Tensor.prototype) as Tensor, { handle })
    expect(() => forged.add(1)).toThrow(DisposedError)
    for (const tensor of young) tensor.dispose()
  })
})

describe('a typed array of a tensor', () => {
  test('keeps its memory after the tensor is gone', () => {
    const x = ones([100_000])
    const data = x.data()
    x.dispose()
    const others = Array.from({ length: 10 }, () => zeros([100_000]))
    expect(data.every((value) => value === 1)).toBe(true)
    for (const other of others) other.dispose()
  })

  test('is the memory itself: writes go both ways', () => {
    const x = zeros([3])
    const data = x.data() as Float32Array
    data[1] = 5
    x.add_(1)
    expect([...data]).toEqual([1, 6, 1])
    expect(x.toArray()).toEqual([1, 6, 1])
  })

  test('forbids to move the memory away from under it', () => {
    const x = zeros([2])
    const data = x.data()
    expect(() => ones([64, 64]).mmOut(ones([64, 64]), { out: x } as never)).toThrow()
    expect([...data]).toEqual([0, 0])
  })
})

describe('the garbage collector', () => {
  async function collect(done: () => boolean): Promise<void> {
    for (let tries = 0; tries < 50 && !done(); tries++) {
      gc()
      await sleep(10)
    }
  }

  test('frees tensors that were made outside every scope', async () => {
    await collect(() => false)
    const before = live()
    for (let i = 0; i < 100; i++) ones([10])
    expect(live()).toBeGreaterThanOrEqual(before + 100)
    await collect(() => live() <= before)
    expect(live()).toBeLessThanOrEqual(before)
  })

  test('frees what scopes returned and nobody holds', async () => {
    const before = live()
    for (let i = 0; i < 100; i++) scope(() => ones([10]).add(1))
    await collect(() => live() <= before)
    expect(live()).toBeLessThanOrEqual(before)
  })

  const weight = ones([2 ** 20]).setRequiresGrad(true)
  test.each([
    ['a tensor', () => ones([2 ** 20])],
    ['a result that autograd holds too', () => weight.exp()],
  ])('is told how much memory hangs on %s, so that it comes in time', async (_, make) => {
    let most = 0
    for (let i = 0; i < 400; i++) {
      make()
      most = Math.max(most, memoryStats().liveBytes)
      await sleep(0)
    }
    // Of 1.6 GB or more that were made; V8 itself sees 400 small objects.
    expect(most).toBeLessThan(800 * 2 ** 20)
  })

  test('frees what autograd held once the graph is dropped', () => {
    const weight = ones([1000]).setRequiresGrad(true)
    const { allocatedBytes } = memoryStats()
    scope(() => weight.exp().exp().sum().item())
    noGrad(() => undefined)
    expect(memoryStats().allocatedBytes - allocatedBytes).toBeLessThan(1000)
    weight.dispose()
  })
})
