// Operators with what plain arithmetic in float64 gives, on any device: not to test libtorch, but that each typed
// function reaches the operator that its name says, with every argument in its place.
import {
  addcdiv,
  addcmul,
  addmm,
  baddbmm,
  bincount,
  bmm,
  bucketize,
  cat,
  clamp,
  conv1d,
  crossEntropyLoss,
  cumsum,
  diagonal,
  divRounded,
  einsum,
  embedding,
  flip,
  gather,
  gelu,
  groupNorm,
  huberLoss,
  indexSelect,
  layerNorm,
  lerp,
  linear,
  logSoftmax,
  logsumexp,
  maskedFill,
  matmul,
  maxAlong,
  maxPool2d,
  mseLoss,
  nanToNum,
  nllLoss,
  oneHot,
  outer,
  pad,
  remainder,
  repeatInterleave,
  roll,
  rsub,
  scatterAdd,
  searchsorted,
  sigmoid,
  silu,
  softmax,
  softplus,
  sort,
  stack,
  std,
  tensor,
  topk,
  tril,
  triu,
  variance,
  where,
  type Device,
  type Tensor,
} from '@hearth/torch'
import { expect } from 'vitest'

const A = [1.5, -2, 0.25, 3]
const B = [-0.5, 4, 1, -3]
const M = [
  [1, 2, 3],
  [-4, 5, 0.5],
]
const N = [
  [2, -1],
  [0, 3],
  [1, 1],
]
const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)
const mean = (values: number[]) => sum(values) / values.length
const product = (x: number[][], y: number[][]) =>
  x.map((row) => y[0]!.map((_, j) => sum(row.map((value, k) => value * y[k]![j]!))))
const softmaxOf = (values: number[]) => values.map((value) => Math.exp(value) / sum(values.map(Math.exp)))
const normalised = (values: number[], eps: number) => {
  const deviation = Math.sqrt(mean(values.map((value) => (value - mean(values)) ** 2)) + eps)
  return values.map((value) => (value - mean(values)) / deviation)
}

type Nested = number | Nested[]
const flatten = (values: Nested): number[] => (typeof values === 'number' ? [values] : values.flatMap(flatten))
export function expectClose(got: Tensor, expected: Nested): void {
  const flat = flatten(expected)
  expect(got.numel).toBe(flat.length)
  got
    .toArray()
    .forEach((value, i) =>
      expect(Math.abs(value - flat[i]!)).toBeLessThanOrEqual(1e-12 * Math.max(1, Math.abs(flat[i]!))),
    )
}

/** An operator's result on the device, and what it should be. */
export type OperatorCase = () => [got: Tensor, expected: Nested]

/** Every family of operators. */
export function operatorCases(device: Device): Record<string, OperatorCase> {
  const f64 = (values: Parameters<typeof tensor>[0]) => tensor(values, { dtype: 'float64', device })
  const i64 = (values: Parameters<typeof tensor>[0]) => tensor(values, { dtype: 'int64', device })
  const [a, b, m, n] = [f64(A), f64(B), f64(M), f64(N)]
  return {
    'add with alpha': () => [a.add(b, { alpha: 2 }), A.map((x, i) => x + 2 * B[i]!)],
    'add of a number': () => [a.add(1, { alpha: 3 }), A.map((x) => x + 3)],
    'sub with alpha': () => [a.sub(b, { alpha: 0.5 }), A.map((x, i) => x - 0.5 * B[i]!)],
    rsub: () => [rsub(a, 10), A.map((x) => 10 - x)],
    'div, floored': () => [divRounded(a, b, { roundingMode: 'floor' }), A.map((x, i) => Math.floor(x / B[i]!))],
    remainder: () => [remainder(a, 2), A.map((x) => ((x % 2) + 2) % 2)],
    'pow of a tensor': () => [f64([1, 2, 3]).pow(f64([2, 0.5, -1])), [1, Math.SQRT2, 1 / 3]],
    addcmul: () => [addcmul(a, a, b, { value: 0.1 }), A.map((x, i) => x + 0.1 * x * B[i]!)],
    addcdiv: () => [addcdiv(a, a, b, { value: 0.1 }), A.map((x, i) => x + (0.1 * x) / B[i]!)],
    lerp: () => [lerp(a, b, 0.25), A.map((x, i) => x + 0.25 * (B[i]! - x))],
    'clamp from below': () => [clamp(a, { min: 0 }), A.map((x) => Math.max(x, 0))],
    'clamp to both sides': () => [clamp(a, { min: -1, max: 2 }), A.map((x) => Math.min(Math.max(x, -1), 2))],
    nanToNum: () => [nanToNum(f64([NaN, Infinity, 1]), { nan: 7, posinf: 8 }), [7, 8, 1]],
    'where with a number': () => [where(a.gt(0), a, 0), A.map((x) => (x > 0 ? x : 0))],
    'sum along a dimension': () => [m.sum(1), M.map(sum)],
    'sum along dimensions, kept': () => [m.sum([0, 1], { keepdim: true }), [[sum(M.flat())]]],
    'mean of a dimension': () => [m.mean(0), M[0]!.map((x, i) => (x + M[1]![i]!) / 2)],
    'largest along a dimension': () => [maxAlong(m, 1)[0], [3, 5]],
    'where the largest is': () => [maxAlong(m, 1)[1], [2, 1]],
    'argmax of a dimension': () => [m.argmax({ dim: 0 }), [0, 1, 0]],
    cumsum: () => [cumsum(a, 0), A.map((_, i) => sum(A.slice(0, i + 1)))],
    logsumexp: () => [logsumexp(m, 1), M.map((row) => Math.log(sum(row.map(Math.exp))))],
    'std without correction': () => [
      std(a, undefined, { correction: 0 }),
      Math.sqrt(mean(A.map((x) => (x - mean(A)) ** 2))),
    ],
    'variance with correction': () => [variance(a), sum(A.map((x) => (x - mean(A)) ** 2)) / (A.length - 1)],
    topk: () => [topk(a, 2)[0], [3, 1.5]],
    'sort downwards': () => [sort(a, { descending: true })[0], A.toSorted((x, y) => y - x)],
    bincount: () => [bincount(i64([0, 2, 2]), { minlength: 4 }), [1, 0, 2, 0]],
    matmul: () => [matmul(m, n), product(M, N)],
    addmm: () => [
      addmm(f64([1, 2]), m, n, { beta: 0.5, alpha: 2 }),
      product(M, N).map((row) => row.map((x, j) => 0.5 * (j + 1) + 2 * x)),
    ],
    bmm: () => [bmm(stack([m, m]), stack([n, n])), [product(M, N), product(M, N)]],
    baddbmm: () => [
      baddbmm(f64([[[1]]]), m.unsqueeze(0), n.unsqueeze(0)),
      [product(M, N).map((row) => row.map((x) => x + 1))],
    ],
    outer: () => [outer(a, f64([1, 2])), A.map((x) => [x, 2 * x])],
    einsum: () => [einsum('ij,jk->ki', [m, n]), product(M, N)[0]!.map((_, k) => product(M, N).map((row) => row[k]!))],
    'linear with bias': () => [
      linear(m, f64([[1, 0, 2]]), { bias: f64([0.5]) }),
      M.map((row) => [row[0]! + 2 * row[2]! + 0.5]),
    ],
    softmax: () => [softmax(m, 1), M.map(softmaxOf)],
    logSoftmax: () => [logSoftmax(m, 1), M.map((row) => softmaxOf(row).map(Math.log))],
    sigmoid: () => [sigmoid(a), A.map((x) => 1 / (1 + Math.exp(-x)))],
    silu: () => [silu(a), A.map((x) => x / (1 + Math.exp(-x)))],
    softplus: () => [softplus(a, { beta: 2 }), A.map((x) => Math.log1p(Math.exp(2 * x)) / 2)],
    'gelu by tanh': () => [
      gelu(a, { approximate: 'tanh' }),
      A.map((x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))),
    ],
    'layerNorm with weight and bias': () => [
      layerNorm(m, [3], { weight: f64([1, 2, 3]), bias: f64([0, 0, 1]), eps: 1e-3 }),
      M.map((row) => normalised(row, 1e-3).map((x, i) => x * (i + 1) + (i === 2 ? 1 : 0))),
    ],
    groupNorm: () => [
      groupNorm(
        f64([
          [
            [1, 2],
            [3, 5],
          ],
        ]),
        1,
        { eps: 0 },
      ),
      normalised([1, 2, 3, 5], 0),
    ],
    embedding: () => [embedding(n, i64([2, 0])), [N[2]!, N[0]!]],
    'crossEntropyLoss, one ignored': () => [
      crossEntropyLoss(stack([m.select(0, 0), m.select(0, 1), m.select(0, 0)]), i64([2, 0, -100])),
      mean([-Math.log(softmaxOf(M[0]!)[2]!), -Math.log(softmaxOf(M[1]!)[0]!)]),
    ],
    'nllLoss, summed': () => [nllLoss(m, i64([1, 2]), { reduction: 2 }), -(2 + 0.5)],
    'mseLoss, not reduced': () => [mseLoss(a, b, { reduction: 0 }), A.map((x, i) => (x - B[i]!) ** 2)],
    huberLoss: () => [huberLoss(a, b, { delta: 0.5 }), mean(A.map((x, i) => 0.5 * (Math.abs(x - B[i]!) - 0.25)))],
    conv1d: () => [conv1d(f64([[[1, 2, 3, 4]]]), f64([[[1, -1]]]), { stride: 2, padding: 1 }), [[[-1, -1, 4]]]],
    maxPool2d: () => [
      maxPool2d(
        f64([
          [
            [
              [1, 2],
              [3, 4],
            ],
          ],
        ]),
        2,
      ),
      [[[[4]]]],
    ],
    'pad with a value': () => [pad(a, [1, 2], { value: 9 }), [9, ...A, 9, 9]],
    tril: () => [
      tril(
        f64([
          [1, 2],
          [3, 4],
        ]),
      ),
      [
        [1, 0],
        [3, 4],
      ],
    ],
    'triu above the diagonal': () => [
      triu(
        f64([
          [1, 2],
          [3, 4],
        ]),
        { diagonal: 1 },
      ),
      [
        [0, 2],
        [0, 0],
      ],
    ],
    diagonal: () => [diagonal(m, { offset: 1 }), [2, 0.5]],
    flip: () => [flip(a, [0]), A.toReversed()],
    roll: () => [roll(a, 1, { dims: 0 }), [A[3]!, A[0]!, A[1]!, A[2]!]],
    cat: () => [cat([m, m], { dim: 1 }), M.map((row) => [...row, ...row])],
    'stack at the end': () => [stack([a, b], { dim: 1 }), A.map((x, i) => [x, B[i]!])],
    repeatInterleave: () => [repeatInterleave(f64([1, 2]), 2), [1, 1, 2, 2]],
    indexSelect: () => [indexSelect(m, 1, i64([2, 0])), M.map((row) => [row[2]!, row[0]!])],
    gather: () => [
      gather(
        m,
        1,
        i64([
          [0, 0],
          [2, 1],
        ]),
      ),
      [
        [1, 1],
        [0.5, 5],
      ],
    ],
    scatterAdd: () => [scatterAdd(f64([0, 0]), 0, i64([0, 1, 0, 1]), a), [A[0]! + A[2]!, A[1]! + A[3]!]],
    maskedFill: () => [maskedFill(a, a.lt(0), 0), A.map((x) => Math.max(x, 0))],
    'index by tensors, with a gap': () => [m.index([undefined, i64([1])]), M.map((row) => [row[1]!])],
    oneHot: () => [
      oneHot(i64([1, 0]), { numClasses: 3 }),
      [
        [0, 1, 0],
        [1, 0, 0],
      ],
    ],
    searchsorted: () => [searchsorted(f64([1, 3, 5]), f64([3, 6]), { right: true }), [2, 3]],
    bucketize: () => [bucketize(f64([0, 3]), f64([1, 3])), [0, 1]],
    'write in place': () => [f64(A).mul_(2).add_(b, { alpha: -1 }), A.map((x, i) => 2 * x - B[i]!)],
  }
}
