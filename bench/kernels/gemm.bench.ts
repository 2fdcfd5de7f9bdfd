// Products of training, forward and for both gradients: hearth::linear against the best the library has, alternating, and
// both against the peak of the same run, which is our kernel fed from the first cache. For bfloat16 the library's best
// is its own where the processor has bfloat16 instructions (oneDNN), else widening and its float32 product.
// Goal: at least 50 % of the peak, never below the library.
//   npm run bench -- gemm [--shapes gpt2|llama|spark] [--rows 1024] [--dtype float32|bfloat16] [--rounds 5] [--clock wall|cpu]
// With one thread on a shared machine, --clock cpu counts the time that this process had a core; the peak always does.
import { parseArgs } from 'node:util'
import { call, hasFastBfloat16, noGrad, numThreads, randn, scope, type Tensor } from '@hearth/torch'
import { alternate, printTable, short, writeResult } from '../measure.js'

type DType = 'float32' | 'bfloat16'

/** [in, out] of the layers. */
const SHAPES: Record<string, readonly (readonly [number, number])[]> = {
  spark: [
    [320, 320],
    [320, 864],
    [864, 320],
    [320, 8192],
  ],
  gpt2: [
    [768, 768],
    [768, 2304],
    [768, 3072],
    [3072, 768],
  ],
  llama: [
    [4096, 4096],
    [4096, 11008],
    [11008, 4096],
  ],
}

const { values } = parseArgs({
  options: {
    shapes: { type: 'string' },
    rows: { type: 'string', default: '1024' },
    dtype: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    clock: { type: 'string', default: 'wall' },
  },
})
const rows = Number(values.rows)
const families = values.shapes === undefined ? ['spark', 'gpt2'] : [values.shapes]
const dtypes = (values.dtype === undefined ? ['float32', 'bfloat16'] : [values.dtype]) as DType[]

/** Milliseconds. */
const now = (): number => (values.clock === 'cpu' ? process.cpuUsage().user / 1000 : performance.now())
const transposed = (x: Tensor): Tensor => x.transpose(0, 1)

/** L R in the dtype of L, by the library. */
function library(left: Tensor, right: Tensor): Tensor {
  if (left.dtype === 'float32' || hasFastBfloat16()) return left.matmul(right)
  return left.to('float32').matmul(right.to('float32')).to(left.dtype)
}

type Operation = (x: Tensor, weight: Tensor, upstream: Tensor) => unknown
const OPERATIONS: Record<string, readonly [ours: Operation, theirs: Operation]> = {
  forward: [(x, w) => call('hearth::linear', x, w), (x, w) => library(x, transposed(w))],
  'to input': [(_, w, dy) => call('hearth::linear_input_gradient', dy, w), (_, w, dy) => library(dy, w)],
  'to weight': [(x, _, dy) => call('hearth::linear_weight_gradient', dy, x), (x, _, dy) => library(transposed(dy), x)],
}

const table: (string | number)[][] = []
const results: Record<string, unknown> = {}
const headlines: { label: string; own: number[]; other: number[]; peak: number[] }[] = []
/** Geometric. */
const mean = (rates: readonly number[]): number =>
  Math.exp(rates.reduce((sum, rate) => sum + Math.log(rate), 0) / rates.length)
for (const dtype of dtypes) {
  for (const family of families) {
    headlines.push({ label: `${dtype}, ${family}`, own: [], other: [], peak: [] })
    for (const [width, out] of SHAPES[family] ?? []) await measure(dtype, family, width, out)
  }
}
printTable(['GFLOP/s', 'ours', 'library', 'ours / library', 'peak', '% of peak'], table)
writeResult(
  'gemm',
  {
    rows,
    clock: values.clock,
    form: call('hearth::product_form', 'bfloat16'),
    threads: numThreads(),
    ...results,
  },
  headlines.map(({ label, own, other, peak }) => ({
    what: `products, ${label} (geometric mean)`,
    unit: 'GFLOP/s',
    hearth: mean(own),
    peer: { name: 'library', value: mean(other) },
    goal: 'at least 50 % of the peak, 1 x the library',
    met: mean(own) >= mean(peak) / 2 && mean(own) >= mean(other),
  })),
)

async function measure(dtype: DType, family: string, width: number, out: number): Promise<void> {
  const [x, weight, upstream] = [randn([rows, width]), randn([out, width]), randn([rows, out])].map((t) => t.to(dtype))
  const rate = (operation: Operation) => () => {
    const start = now()
    scope(() => noGrad(() => void operation(x!, weight!, upstream!)))
    return (2 * rows * width * out) / ((now() - start) * 1e6)
  }
  for (const [name, [ours, theirs]] of Object.entries(OPERATIONS)) {
    const sides = {
      ours: rate(ours),
      library: rate(theirs),
      peak: () => call('hearth::measure_peak', dtype, undefined, 0.01) as number,
    }
    const rates = await alternate(sides, { rounds: Number(values.rounds) })
    const [own, other, peak] = [rates.ours.median, rates.library.median, rates.peak.median]
    const label = `${dtype} ${family} ${width}→${out} ${name}`
    table.push([label, short(own), short(other), short(own / other), short(peak), short((100 * own) / peak)])
    results[label] = rates
    const headline = headlines.at(-1)!
    headline.own.push(own)
    headline.other.push(other)
    headline.peak.push(peak)
  }
  for (const tensor of [x, weight, upstream]) tensor!.dispose()
}
