// Short measurements of what decides the speed of training: matrix products, memory, the cost of one operator call.
// Each is the best of a few repetitions: other work on the machine can only make a figure worse.
import { call, noGrad, ones, randn, scope, type DType, type Tensor } from '@hearth/torch'

export interface Measurements {
  /** Billions of multiplications and additions a second, each counted, in products of N × N matrices. */
  matmulFloat32: number
  matmulBfloat16: number
  /** The same of our own kernels on operands that never leave the first cache: the ceiling of the above. 0 without any. */
  peakFloat32: number
  peakBfloat16: number
  /** Bytes read a second, in billions, by all threads together. */
  memoryRead: number
  /** Microseconds for `add` of two tensors of three elements, the result freed. */
  operatorCall: number
}

const SECONDS_EACH = 0.25

/** Takes about two seconds. */
export function measureMachine(): Measurements {
  return noGrad(() => ({
    matmulFloat32: matmulRate('float32'),
    matmulBfloat16: matmulRate('bfloat16'),
    peakFloat32: call('hearth::measure_peak', 'float32', undefined, SECONDS_EACH) as number,
    peakBfloat16: call('hearth::measure_peak', 'bfloat16', undefined, SECONDS_EACH) as number,
    memoryRead: memoryRate(),
    operatorCall: callCost(),
  }))
}

/** Shortest time of `work` in seconds, repeated for a quarter of a second. */
function shortest(work: () => void): number {
  let best = Infinity
  const end = performance.now() + SECONDS_EACH * 1000
  do {
    const start = performance.now()
    scope(work)
    best = Math.min(best, (performance.now() - start) / 1000)
  } while (performance.now() < end)
  return best
}

// float32 by the BLAS, which is what may be slow; bfloat16 as models compute it.
const product = (a: Tensor, b: Tensor): Tensor =>
  a.dtype === 'bfloat16' ? (call('hearth::linear', a, b) as Tensor) : a.matmul(b)

// With a BLAS that is none, a product of 1024 × 1024 takes seconds: a small one says as much.
function matmulRate(dtype: DType): number {
  return scope(() => {
    const rate = (size: number) => {
      const [a, b] = [randn([size, size]).to(dtype), randn([size, size]).to(dtype)]
      return (2 * size ** 3) / shortest(() => void product(a, b)) / 1e9
    }
    const small = rate(256)
    return small < 20 ? small : Math.max(small, rate(1024))
  })
}

function memoryRate(): number {
  return scope(() => {
    const tensor = ones([2 ** 26])
    return tensor.nbytes / shortest(() => void tensor.sum()) / 1e9
  })
}

function callCost(): number {
  const calls = 20_000
  return scope(() => {
    const [a, b] = [ones([3]), ones([3])]
    const seconds = shortest(() => {
      for (let i = 0; i < calls; i++) a.add(b).dispose()
    })
    return (seconds / calls) * 1e6
  })
}
