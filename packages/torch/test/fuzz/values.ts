// Random values for arguments: plausible ones of the type that a schema asks for, so that calls reach the kernels, and
// wrong ones of every kind. All randomness comes from one seeded stream, so a case can be run again.
import { arange, Generator, ones, rand, randint, tensor, zeros, type Tensor } from '@hearth/torch'
import { dtypes } from '@hearth/torch'

/** Numbers from 0 to 1 by mulberry32. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  below(n: number): number {
    return Math.floor(this.next() * n)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!
  }
}

const SHAPES = [
  [],
  [0],
  [1],
  [3],
  [7],
  [2, 3],
  [3, 2],
  [1, 1],
  [2, 0, 3],
  [2, 3, 4],
  [1, 2, 5, 5],
  [2, 4, 3, 3],
  [1, 1, 1, 1, 1],
]

/** Tensors of many shapes, dtypes and layouts; some require gradients, some index out of range, some are disposed. */
export function makePool(random: Random): Tensor[] {
  const pool: Tensor[] = []
  for (const shape of SHAPES) pool.push(rand(shape).sub(0.3))
  for (const dtype of dtypes) pool.push(ones([2, 3], { dtype }), arange(0, 3).to(dtype))
  pool.push(rand([3, 2]).transpose(0, 1), rand([1, 3]).expand([4, 3]), rand([6]).slice({ step: 2 }))
  pool.push(rand([2, 3]).setRequiresGrad(true), rand([2, 3]).setRequiresGrad(true).mul(2))
  pool.push(tensor([NaN, Infinity, -Infinity]), zeros([3, 3]), tensor([1e38, -1e38, 1e-45]))
  const wild = [0, 1, 2, -1, 5, 100, -100, 2 ** 31, 2 ** 40, -(2 ** 53)]
  for (let i = 0; i < 8; i++)
    pool.push(
      tensor(
        Array.from({ length: 3 }, () => random.pick(wild)),
        { dtype: 'int64' },
      ),
    )
  pool.push(
    tensor(
      [
        [0, 1],
        [2, 0],
      ],
      { dtype: 'int64' },
    ),
    randint(0, 5, [2, 3]),
  )
  const gone = ones([2])
  gone.dispose()
  return [...pool, gone]
}

const INTEGERS = [
  0,
  1,
  2,
  3,
  -1,
  -2,
  4,
  7,
  16,
  100,
  -100,
  65537,
  2 ** 31 - 1,
  2 ** 31,
  -(2 ** 31),
  2 ** 40,
  2 ** 53 - 1,
  -(2 ** 53 - 1),
]
const FLOATS = [0, -0, 0.5, 1, -1, 2, 1e-5, 1e30, -1e300, NaN, Infinity, -Infinity, Number.MIN_VALUE]
const STRINGS = [
  '',
  'none',
  'mean',
  'sum',
  'tanh',
  'floor',
  'trunc',
  'reflect',
  'replicate',
  'ij,jk->ik',
  'ii',
  '...',
  'i'.repeat(200),
  '\0',
  'größe',
]

/** Values that no argument wants. */
const GARBAGE: readonly ((random: Random) => unknown)[] = [
  () => undefined,
  () => null,
  () => true,
  () => 'text',
  () => 3,
  () => 0.5,
  () => NaN,
  () => 2n ** 70n,
  () => -5n,
  () => Symbol('s'),
  () => () => 1,
  () => ({}),
  () => ({ handle: 1 }),
  () => ({ handle: NaN }),
  () => ({ handle: 2 ** 53 }),
  () => ({ handle: '16777216' }),
  () => [],
  () => [undefined],
  () => [[1], [2]],
  () => new Array<unknown>(5),
  () => new Float32Array(3),
  () => new Date(0),
  () => new Map([[1, 2]]),
  () => new Proxy([1, 2], {}),
  () => Array.from({ length: 1000 }, (_, i) => i),
]

export type Make = (random: Random, pool: readonly Tensor[]) => unknown

const list =
  (item: Make): Make =>
  (random, pool) =>
    Array.from({ length: random.pick([0, 1, 1, 2, 2, 3, 4, 9]) }, () => item(random, pool))
const integer: Make = (random) => random.pick(random.chance(0.7) ? INTEGERS.slice(0, 8) : INTEGERS)
const float: Make = (random) => random.pick(FLOATS)
const one: Make = (random, pool) => random.pick(pool)

const BY_TYPE: Record<string, Make> = {
  Tensor: one,
  'Tensor[]': list(one),
  'Tensor?[]': list((random, pool) => (random.chance(0.3) ? undefined : one(random, pool))),
  int: integer,
  float,
  Scalar: (random, pool) => (random.chance(0.5) ? integer : float)(random, pool),
  bool: (random) => random.chance(0.5),
  str: (random) => random.pick(STRINGS),
  'int[]': list(integer),
  'float[]': list(float),
  'bool[]': list((random) => random.chance(0.5)),
  ScalarType: (random) => random.pick([...dtypes, 'complex64', 'quint8', 'toString']),
  Device: (random) => random.pick(['cpu', 'cpu', 'cpu', 'cuda', 'cuda:7', 'meta', 'gpu', '']),
  Generator: (random) => new Generator(random.below(100)),
}

/** A value for an argument of this type in the schema: mostly one that fits, sometimes one that fits nothing. */
export function valueFor(type: string, random: Random, pool: readonly Tensor[]): unknown {
  if (random.chance(0.12)) return random.pick(GARBAGE)(random)
  const bare = type.replace(/\?$/, '').replace(/\[\d+\]$/, '[]')
  if (type.endsWith('?') && random.chance(0.4)) return undefined
  if (/\[\d+\]$/.test(type) && random.chance(0.4)) return integer(random, pool)
  const make = BY_TYPE[bare] ?? BY_TYPE[bare.replace('Scalar[]', 'float[]')]
  return make === undefined ? random.pick(GARBAGE)(random) : make(random, pool)
}
