// Products of a few rows with a whole weight, as generating single tokens makes them: hearth::linear against the best the
// library has (for bfloat16 without bfloat16 instructions: widening and its float32 product), alternating, in bytes of weights
// read a second; and against the plainest pass there is, every element of a large tensor read, multiplied and written back. Weights
// change with every product, as the layers of a model do, so that none is in a cache.
//   npm run bench -- few-rows [--rows 1,4,7] [--width 768 --out 3072] [--rounds 7]
import { parseArgs } from 'node:util'
import { call, hasFastBfloat16, noGrad, numThreads, ones, randn, scope, type Tensor } from '@hearth/torch'
import { alternate, printTable, short, writeResult } from '../measure.js'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1,4,7' },
    width: { type: 'string', default: '768' },
    out: { type: 'string', default: '3072' },
    rounds: { type: 'string', default: '7' },
  },
})
const [width, out] = [Number(values.width), Number(values.out)]
const GIGA = 1e9
/** Bytes of all weights together: many times the last cache. */
const BYTES = 256 * 2 ** 20

const rate = (bytes: number, work: () => void) => () => {
  const start = performance.now()
  scope(() => noGrad(work))
  return (1000 * bytes) / GIGA / (performance.now() - start)
}

function library(x: Tensor, weight: Tensor): Tensor {
  const transposed = weight.transpose(0, 1)
  if (x.dtype === 'float32' || hasFastBfloat16()) return x.matmul(transposed)
  return x.to('float32').matmul(transposed.to('float32')).to(x.dtype)
}

const plain = ones([BYTES / 4])
const results: Record<string, unknown> = {}
const table: string[][] = []
for (const dtype of ['float32', 'bfloat16'] as const) {
  const size = width * out * (dtype === 'float32' ? 4 : 2)
  const weights = Array.from({ length: Math.ceil(BYTES / size) }, () => randn([out, width]).to(dtype))
  const read = weights.length * size
  const each = (product: (weight: Tensor) => unknown) => () =>
    weights.forEach((weight) => scope(() => void product(weight)))
  for (const rows of values.rows.split(',').map(Number)) {
    const x = randn([rows, width]).to(dtype)
    const sides = {
      ours: rate(
        read,
        each((weight) => call('hearth::linear', x, weight)),
      ),
      library: rate(
        read,
        each((weight) => library(x, weight)),
      ),
      plain: rate(2 * plain.nbytes, () => plain.mul_(1.0000001)),
    }
    const { ours, library: theirs, plain: pass } = await alternate(sides, { rounds: Number(values.rounds) })
    const label = `${dtype} ${width}→${out}, ${rows} rows`
    const spread = `${short(ours.low)} to ${short(ours.high)}`
    const shares = [ours.median / theirs.median, pass.median, (100 * ours.median) / pass.median]
    table.push([label, short(ours.median), spread, short(theirs.median), ...shares.map(short)])
    results[label] = { ours, library: theirs, plain: pass }
  }
  weights.forEach((weight) => weight.dispose())
}
console.log(`GB/s of weights read, ${numThreads()} threads`)
printTable(['', 'ours', 'quartiles', 'library', 'ours / library', 'plain pass', '% of it'], table)
writeResult('few-rows', { width, out, threads: numThreads(), results })
