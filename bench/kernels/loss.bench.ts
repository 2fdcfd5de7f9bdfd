// The loss with the projection to the vocabulary, forward and backward: fused, and in the plain form that makes all
// logits; alternating in one run. Extra memory is the peak beyond operands and their gradients, as a share of the logits.
//   npm run bench -- loss [--rounds 5] [--large]
// --large adds 8192 rows and GPT-2's vocabulary: a minute a round.
import { parseArgs } from 'node:util'
import { backward, Generator, memoryStats, numThreads, randn, resetPeakMemory, scope, tensor } from '@hearth/torch'
import type { Tensor } from '@hearth/torch'
import { crossEntropy, linear, linearCrossEntropy } from 'hearth/nn'
import { alternate, printTable, short, writeResult } from '../measure.js'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, large: { type: 'boolean', default: false } },
})
const shapes = [
  { name: 'spark', rows: 1024, width: 320, vocabulary: 8192 },
  { name: 'gpt2', rows: 1024, width: 768, vocabulary: 50257 },
  ...(values.large ? [{ name: 'gpt2, 8192 rows', rows: 8192, width: 768, vocabulary: 50304 }] : []),
]
type Shape = (typeof shapes)[number]
type Loss = (weight: Tensor, hidden: Tensor, targets: Tensor) => Tensor

const fused: Loss = (weight, hidden, targets) => linearCrossEntropy({ weight }, hidden, targets)
const plain: Loss = (weight, hidden, targets) => crossEntropy(linear({ weight }, hidden), targets)

function operandsOf({ rows, width, vocabulary }: Shape) {
  const generator = new Generator(1)
  const hidden = randn([1, rows, width], { generator }).setRequiresGrad(true)
  const weight = randn([vocabulary, width], { generator }).mul_(0.02).setRequiresGrad(true)
  const ids = Int32Array.from({ length: rows }, (_, i) => (i * 7919) % vocabulary)
  return { hidden, weight, targets: tensor(ids, { dtype: 'int64', shape: [1, rows] }) }
}

/** Seconds of one forward and backward pass; the peak is left in `extra`. */
function measure(loss: Loss, { hidden, weight, targets }: ReturnType<typeof operandsOf>, extra: { bytes: number }) {
  resetPeakMemory()
  const before = memoryStats().allocatedBytes
  const started = performance.now()
  scope(() => backward(loss(weight, hidden, targets)))
  const seconds = (performance.now() - started) / 1000
  extra.bytes = memoryStats().peakBytes - before - hidden.nbytes - weight.nbytes
  hidden.grad = undefined
  weight.grad = undefined
  return seconds
}

const results = []
for (const shape of shapes) {
  const operands = operandsOf(shape)
  const extra = { fused: { bytes: 0 }, plain: { bytes: 0 } }
  const seconds = await alternate(
    { fused: () => measure(fused, operands, extra.fused), plain: () => measure(plain, operands, extra.plain) },
    { rounds: Number(values.rounds) },
  )
  const logits = shape.rows * shape.vocabulary * 4
  results.push({
    ...shape,
    seconds,
    ratio: seconds.plain.median / seconds.fused.median,
    extra: { fused: extra.fused.bytes / logits, plain: extra.plain.bytes / logits },
  })
}
console.log(`loss and gradients, float32, ${numThreads()} threads`)
printTable(
  ['shape', 'fused, ms', 'plain, ms', 'ratio', 'extra memory fused', 'plain, of the logits'],
  results.map(({ name, seconds, ratio, extra }) => [
    name,
    seconds.fused.median * 1000,
    seconds.plain.median * 1000,
    ratio,
    `${short(100 * extra.fused)} %`,
    `${short(100 * extra.plain)} %`,
  ]),
)
writeResult(
  'loss',
  results,
  results.flatMap(({ name, seconds, extra }) => [
    {
      what: `loss with its projection, ${name}`,
      unit: 'ms',
      hearth: 1000 * seconds.fused.median,
      peer: { name: 'plain', value: 1000 * seconds.plain.median },
    },
    {
      what: `loss, extra memory, ${name}`,
      unit: '% of the logits',
      hearth: 100 * extra.fused,
      peer: { name: 'plain', value: 100 * extra.plain },
      ...(name.includes('8192') && { goal: 'at most 10', met: extra.fused <= 0.1 }),
    },
  ]),
)
process.exit(0)
