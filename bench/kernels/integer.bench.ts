// Products with weights in 8 and 4 bit integers, for running models: one row, as a token is, where reading the weights is
// what it costs (GB/s), and many, as in a prompt (GFLOP/s), beside the float32 product of the same shape, alternating.
//   npm run bench -- integer [--rounds 5]
import { parseArgs } from 'node:util'
import { call, noGrad, numThreads, randn, scope, type Tensor } from '@hearth/torch'
import { integerLinear, packWeight, type IntegerBits } from 'hearth/nn'
import { alternate, printTable, writeResult } from '../measure.js'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } })
/** [in, out] of LLaMA 1.1B: attention, feed-forward, the head. */
const SHAPES = [
  [2048, 2048],
  [2048, 5632],
  [2048, 32_000],
] as const
const ROWS = [1, 8, 64, 512]

const timed = (work: () => unknown) => () => {
  const started = performance.now()
  scope(() => noGrad(() => void work()))
  return performance.now() - started
}

const table: (string | number)[][] = []
const results: Record<string, unknown> = {}
for (const [width, out] of SHAPES) {
  const weight = randn([out, width])
  for (const bits of [8, 4] as IntegerBits[]) {
    const packed = packWeight(weight, bits)
    const bytes = packed.weight.nbytes + packed.integers.scales.nbytes
    for (const rows of ROWS) {
      const x = randn([rows, width])
      const times = await alternate(
        {
          integer: timed(() => integerLinear(packed, x)),
          float: timed(() => call('hearth::linear', x, weight) as Tensor),
        },
        { rounds: Number(values.rounds) },
      )
      const [own, other] = [times.integer.median, times.float.median]
      const label = `int${bits} ${width}→${out}, ${rows} rows`
      table.push([label, own, bytes / own / 1e6, (2 * rows * width * out) / own / 1e6, other, other / own])
      results[label] = times
      x.dispose()
    }
  }
}
printTable(['', 'ms', 'GB/s', 'GFLOP/s', 'float32, ms', 'ratio'], table)
writeResult('integer', { threads: numThreads(), results })
