// Attention in tiles beside the form composed of libtorch's operators: time of forward and backward, causal, float32, one
// thread each, alternating in one run; and the memory that they need beyond operands and their gradients.
//   npm run bench -- attention [--rounds 9]
import { parseArgs } from 'node:util'
import {
  backward,
  Generator,
  memoryStats,
  randn,
  resetPeakMemory,
  scope,
  setNumThreads,
  type Tensor,
} from '@hearth/torch'
import { attention, composedAttention } from 'hearth/nn'
import { alternate, printTable, short, writeResult } from '../measure.js'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '9' } } })
const shapes = [
  { name: 'gpt2, 4 x 256', batch: 4, heads: 12, tokens: 256, width: 64 },
  { name: 'gpt2, 1 x 1024', batch: 1, heads: 12, tokens: 1024, width: 64 },
  { name: 'gpt2, 1 x 2048', batch: 1, heads: 12, tokens: 2048, width: 64 },
  { name: 'spark, 8 x 128', batch: 8, heads: 5, tokens: 128, width: 64 },
]
type Shape = (typeof shapes)[number]
type Attention = (q: Tensor, k: Tensor, v: Tensor) => Tensor

const tiled: Attention = (q, k, v) => attention(q, k, v, { causal: true })
const composed: Attention = (q, k, v) => composedAttention(q, k, v, { causal: true, scale: 1 / Math.sqrt(q.shape[3]!) })

/** As they come out of a projection: (B, H, T, E), in memory (B, T, H, E). */
function operandsOf({ batch, heads, tokens, width }: Shape): [q: Tensor, k: Tensor, v: Tensor, upstream: Tensor] {
  const generator = new Generator(1)
  const one = () => randn([batch, tokens, heads, width], { generator }).transpose(1, 2)
  const leaf = () => one().setRequiresGrad(true)
  return [leaf(), leaf(), leaf(), one()]
}

type Peak = { extra: number }

const processorTime = () => process.cpuUsage().user + process.cpuUsage().system

/** Milliseconds that one thread worked on a forward and backward pass, whoever else was busy; the peak is left in `peak`. */
function measure(form: Attention, [q, k, v, upstream]: ReturnType<typeof operandsOf>, peak: Peak): number {
  for (const leaf of [q, k, v]) leaf.grad = undefined
  resetPeakMemory()
  const before = memoryStats().allocatedBytes
  const start = processorTime()
  scope(() => backward(form(q, k, v), { gradient: upstream }))
  const milliseconds = (processorTime() - start) / 1000
  peak.extra = memoryStats().peakBytes - before - 3 * q.nbytes
  return milliseconds
}

setNumThreads(1)
const results = []
for (const shape of shapes) {
  const operands = operandsOf(shape)
  const peaks = { tiled: { extra: 0 }, composed: { extra: 0 } }
  const times = await alternate(
    {
      tiled: () => measure(tiled, operands, peaks.tiled),
      composed: () => measure(composed, operands, peaks.composed),
    },
    { rounds: Number(values.rounds) },
  )
  // Two products forward and five backward, of the half that causality leaves.
  const operations = 7 * shape.batch * shape.heads * shape.tokens ** 2 * shape.width
  results.push({ ...shape, times, peaks, gigaflops: operations / times.tiled.median / 1e6 })
}
printTable(
  [
    'forward and backward, 1 thread',
    'tiled, ms',
    'GFLOP/s',
    'composed, ms',
    'ratio',
    'tiled, MB beside',
    'composed, MB',
  ],
  results.map(({ name, times, peaks, gigaflops }) => [
    name,
    times.tiled.median,
    gigaflops,
    times.composed.median,
    short(times.composed.median / times.tiled.median),
    peaks.tiled.extra / 2 ** 20,
    peaks.composed.extra / 2 ** 20,
  ]),
)
writeResult(
  'attention',
  results,
  results.map(({ name, times }) => ({
    what: `attention, forward and backward, ${name}`,
    unit: 'ms',
    hearth: times.tiled.median,
    peer: { name: 'composed', value: times.composed.median },
  })),
)
process.exit(0)
