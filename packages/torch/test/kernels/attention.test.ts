// hearth::attention, forward and gradients, against float64; and that against the definition, term by term.
import { describe, expect, test } from 'vitest'
import {
  arange,
  backward,
  call,
  grad,
  ones,
  scope,
  setNumThreads,
  tensor,
  zeros,
  type Tensor,
} from '../../src/index.js'
import { expectLikeFloat64, KERNEL_DTYPES, normal, relativeError } from './against-float64.js'

interface Options {
  scale?: number
  causal?: boolean
  window?: number
  documents?: Tensor
  /** Dimensions that turn. */
  rotary?: number
}

/** Angles as rotary positions have them: (positions, dims), the first half of the sines negated. */
function tables(positions: number, dims: number): [cos: Tensor, sin: Tensor] {
  const angle = (i: number) => Math.floor(i / dims) / 10 ** (((i % dims) % (dims / 2)) / (dims / 2))
  const fill = (value: (i: number) => number) =>
    tensor(
      Array.from({ length: positions * dims }, (_, i) => value(i)),
      { shape: [positions, dims] },
    )
  return [fill((i) => Math.cos(angle(i))), fill((i) => Math.sin(angle(i)) * (i % dims < dims / 2 ? -1 : 1))]
}

const both =
  ({ scale = 0.3, causal = false, window = 0, documents, rotary }: Options) =>
  (q: Tensor, k: Tensor, v: Tensor): [out: Tensor, logsumexp: Tensor] => {
    const [cos, sin] = rotary === undefined ? [] : tables(k.shape[2]!, rotary)
    return call('hearth::attention', q, k, v, scale, causal, window, documents, cos, sin) as [Tensor, Tensor]
  }

const attention =
  (options: Options) =>
  (q: Tensor, k: Tensor, v: Tensor): Tensor =>
    both(options)(q, k, v)[0]

type Sizes = readonly [B: number, H: number, K: number, T: number, S: number, E: number]

const heads = ([B, H, K, T, S, E]: Sizes, dtype: 'float32' | 'bfloat16' | 'float64'): [Tensor, Tensor, Tensor] => [
  normal([B, H, T, E], dtype, 1),
  normal([B, K, S, E], dtype, 2),
  normal([B, K, S, E], dtype, 3),
]

describe.each(KERNEL_DTYPES)('attention in %s agrees with float64', (dtype) => {
  test.each<[Sizes, Options]>([
    [[1, 1, 1, 1, 1, 1], {}],
    [[2, 3, 3, 5, 5, 7], { causal: true }],
    [[1, 2, 2, 64, 64, 64], { causal: true }],
    [[1, 2, 1, 129, 129, 33], { causal: true, rotary: 8 }],
    [[2, 6, 2, 97, 97, 80], { causal: true, rotary: 80 }],
    [[1, 4, 2, 13, 150, 20], { causal: true, rotary: 10 }],
    [[1, 2, 2, 150, 13, 16], {}],
    [[2, 2, 1, 70, 70, 128], { window: 9 }],
    [[1, 2, 2, 200, 200, 24], { causal: true, window: 17 }],
    [[1, 1, 1, 1, 300, 64], { causal: true, window: 100 }],
    [[1, 1, 1, 50, 50, 260], { scale: 0.05, causal: true }],
  ])('of (B, H, K, T, S, E) %j with %j', (sizes, options) => {
    expectLikeFloat64(attention(options), heads(sizes, dtype), dtype)
  })

  test.each<[string, Options]>([
    ['causal', { causal: true, rotary: 4 }],
    ['both ways', {}],
    ['within a window', { causal: true, window: 12 }],
    ['within a window both ways', { window: 12 }],
  ])('on packed documents, %s', (_, options) => {
    const numbers = Array.from({ length: 2 * 110 }, (_, i) => (i < 110 ? Number(i > 70) + Number(i > 71) : i >> 4))
    const documents = tensor(numbers, { shape: [2, 110], dtype: 'int64' })
    expectLikeFloat64(attention({ ...options, documents }), heads([2, 2, 1, 110, 110, 16], dtype), dtype)
    expectLikeFloat64(attention({ ...options, documents }), heads([2, 2, 1, 60, 110, 16], dtype), dtype)
  })

  test('on operands that are views, and the output lies in memory as the queries do', () => {
    const wide = normal([2, 30, 4, 3 * 24], dtype, 1) // (B, T, H, 3·E)
    const view = (part: number) => wide.narrow(3, part * 24, 24).transpose(1, 2)
    const operands = [view(0), view(1), view(2)]
    expectLikeFloat64(attention({ causal: true, rotary: 6 }), operands, dtype)
    expect(attention({})(view(0), view(1), view(2)).transpose(1, 2).isContiguous).toBe(true)
    const turnedAround = [1, 2, 3].map((seed) => normal([2, 2, 24, 30], dtype, seed).transpose(2, 3))
    expectLikeFloat64(attention({ causal: true }), turnedAround, dtype)
  })

  test('two threads give the bits of one', () => {
    const run = (threads: number) =>
      scope(() => {
        setNumThreads(threads)
        const leaves = heads([2, 6, 2, 333, 333, 40], dtype).map((x) => x.setRequiresGrad(true))
        const out = attention({ causal: true, rotary: 40, window: 300 })(...(leaves as [Tensor, Tensor, Tensor]))
        backward(out, { gradient: normal(out.shape, dtype, 4) })
        return [out, ...leaves.map((leaf) => leaf.grad!)].map((x) => [...x.contiguous().data()])
      })
    const one = run(1)
    expect(run(2)).toEqual(one)
    setNumThreads(1)
  })
})

test('the float64 form is the definition, and its gradient is that of ATen', () => {
  const [q, k, v] = heads([2, 4, 2, 9, 12, 6], 'float64').map((x) => x.setRequiresGrad(true)) as [
    Tensor,
    Tensor,
    Tensor,
  ]
  const documents = tensor(
    Array.from({ length: 24 }, (_, i) => Math.floor(i / 5)),
    { shape: [2, 12], dtype: 'int64' },
  )
  const options: Options = { causal: true, window: 4, documents, rotary: 4 }
  const [cos, sin] = tables(12, 4).map((x) => x.to('float64')) as [Tensor, Tensor]
  const turn = (x: Tensor) => {
    const [turning, rest] = [x.narrow(3, 0, 4), x.narrow(3, 4, 2)]
    const first = 12 - x.shape[2]!
    const turned = turning
      .mul(cos.narrow(0, first, x.shape[2]!))
      .add(turning.roll(2, { dims: 3 }).mul(sin.narrow(0, first, x.shape[2]!)))
    return call('aten::cat', [turned, rest], 3) as Tensor
  }
  const each = (x: Tensor) => x.repeatInterleave(2, { dim: 1 })
  const distance = arange(3, 12).unsqueeze(1).sub(arange(12)) // (T, S)
  const sees = distance
    .ge(0)
    .logicalAnd(distance.lt(4))
    .logicalAnd(documents.narrow(1, 3, 9).unsqueeze(2).eq(documents.unsqueeze(1)).unsqueeze(1))
  const scores = turn(q)
    .matmul(each(turn(k)).transpose(2, 3))
    .mul(0.3)
    .maskedFill(sees.logicalNot(), -Infinity)
  const expected = scores.softmax(-1).matmul(each(v))
  const [out, logsumexp] = both(options)(q, k, v)
  expect(relativeError(out, expected)).toBeLessThan(1e-12)
  expect(relativeError(logsumexp, scores.logsumexp([-1]))).toBeLessThan(1e-12)
  const upstream = normal(out.shape, 'float64', 5)
  const gradients = (y: Tensor) => grad([y], [q, k, v], { gradOutputs: [upstream] }) as Tensor[]
  const wanted = gradients(expected)
  for (const [i, got] of gradients(out).entries()) expect(relativeError(got, wanted[i]!)).toBeLessThan(1e-12)
})

test('log-sum-exp agrees with float64', () => {
  const operands = heads([1, 2, 2, 75, 75, 16], 'float32')
  const wide = operands.map((x) => x.to('float64')) as [Tensor, Tensor, Tensor]
  expect(relativeError(both({ causal: true })(...operands)[1], both({ causal: true })(...wide)[1])).toBeLessThan(1e-6)
})

test('scores far apart and far from zero neither overflow nor vanish', () => {
  const q = tensor([1e4, -1e4, 1], { shape: [1, 1, 3, 1] })
  const k = tensor([1e4, 9e3, -1e4], { shape: [1, 1, 3, 1] })
  const v = tensor([1, 2, 4], { shape: [1, 1, 3, 1] })
  expect(attention({ scale: 1 })(q, k, v).toArray()).toEqual([1, 4, 1])
})

test('a number that is none stays one, and only where it is seen', () => {
  const [q, k, v] = heads([1, 1, 1, 70, 70, 8], 'float32')
  k.narrow(2, 68, 1).fill_(NaN)
  const rows = attention({ causal: true })(q, k, v).sum([3]).toArray()
  expect(rows.map(Number.isNaN)).toEqual(rows.map((_, i) => i >= 68))
})

test('of no queries and of no keys it is nothing', () => {
  expect(attention({})(zeros([2, 2, 0, 4]), zeros([2, 2, 3, 4]), zeros([2, 2, 3, 4])).shape).toEqual([2, 2, 0, 4])
  expect(attention({})(ones([1, 1, 2, 2]), zeros([1, 1, 0, 2]), zeros([1, 1, 0, 2])).toArray()).toEqual([0, 0, 0, 0])
})

test('operands that do not fit are refused, with what they are', () => {
  const x = (...shape: number[]) => zeros(shape)
  const run = (options: Options) => () => attention(options)(x(1, 2, 3, 4), x(1, 2, 3, 4), x(1, 2, 3, 4))
  expect(() => attention({})(x(1, 3, 3, 4), x(1, 2, 3, 4), x(1, 2, 3, 4))).toThrow(/3 query heads.*2 key heads/)
  expect(() => attention({})(x(1, 2, 3, 4), x(1, 2, 3, 5), x(1, 2, 3, 5))).toThrow(/\[1, 2, 3, 5\]/)
  expect(() => attention({})(x(1, 2, 3, 4).to('bfloat16'), x(1, 2, 3, 4), x(1, 2, 3, 4))).toThrow(/one dtype/)
  expect(() => attention({ causal: true })(x(1, 2, 5, 4), x(1, 2, 3, 4), x(1, 2, 3, 4))).toThrow(/5 queries.*3 keys/)
  expect(run({ window: -1 })).toThrow(/window/)
  expect(run({ rotary: 6 })).toThrow(/up to 4/)
  expect(run({ documents: zeros([1, 2], { dtype: 'int64' }) })).toThrow(/documents/)
  expect(run({ documents: zeros([1, 3]) })).toThrow(/integers/)
})
