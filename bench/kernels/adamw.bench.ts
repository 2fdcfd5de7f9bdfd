// AdamW against the bandwidth of the memory, measured in the same run by the plainest pass there is: every element of one
// large tensor read, multiplied and written back. Bytes are those that a step must move: weight and moments read and
// written, the gradient read (28 an element in float32, 16.03 with 8-bit moments). Goal: at least 85 % of the plain pass.
//   npm run bench -- adamw [--elements 33554432] [--rounds 7]
import { parseArgs } from 'node:util'
import { noGrad, numThreads, ones, randn, zerosLike, type Tensor } from '@hearth/torch'
import { adamw, type Optimizer } from 'hearth/optim'
import { alternate, printTable, short, writeResult } from '../measure.js'

const { values } = parseArgs({
  options: { elements: { type: 'string', default: String(2 ** 25) }, rounds: { type: 'string', default: '7' } },
})
const elements = Number(values.elements)

const GIGA = 1e9
const seconds = (work: () => void): number => {
  const start = performance.now()
  work()
  return (performance.now() - start) / 1000
}

const weight = randn([elements])
const gradient = randn([elements])
const plain = ones([elements])
const bytes = (tensors: readonly Tensor[]): number => tensors.reduce((sum, { nbytes }) => sum + nbytes, 0)

/** Steps in place, or from one bank into another, in GB/s and in milliseconds. */
function side(optimizer: Optimizer, into: boolean): { moved: number; run: () => number } {
  const weights = { weight }
  const state = optimizer.init(weights)
  const other = into
    ? {
        weights: { weight: zerosLike(weight) },
        state: Object.fromEntries(Object.entries(state).map(([name, tensor]) => [name, zerosLike(tensor)])),
      }
    : undefined
  let step = 0
  const update = () =>
    optimizer.update({
      ...{ weights, gradients: { weight: gradient }, state, step: step++, learningRate: 1e-4, gradientScale: 0.5 },
      ...(other && { into: other }),
    })
  const moved = 2 * bytes([weight, ...Object.values(state)]) + gradient.nbytes
  return { moved, run: () => moved / GIGA / seconds(update) }
}

const sides = {
  'float32, in place': side(adamw(), false),
  'float32, other bank': side(adamw(), true),
  '8-bit, in place': side(adamw({ moments: '8bit' }), false),
  '8-bit, other bank': side(adamw({ moments: '8bit' }), true),
}
const rates = await alternate<string>(
  {
    'plain pass': () => (2 * plain.nbytes) / GIGA / seconds(() => noGrad(() => plain.mul_(1.0000001))),
    ...Object.fromEntries(Object.entries(sides).map(([name, { run }]) => [name, run])),
  },
  { rounds: Number(values.rounds), warmup: 2 },
)
const peak = rates['plain pass']!.median
printTable(
  [`${elements / 1e6}M elements, ${numThreads()} threads`, 'GB/s', 'quartiles', '% of the plain pass', 'ms a step'],
  Object.entries(rates).map(([name, { median, low, high }]) => [
    name,
    median,
    `${short(low)} to ${short(high)}`,
    (100 * median) / peak,
    name in sides ? sides[name as keyof typeof sides].moved / GIGA / median / 1e-3 : '',
  ]),
)
const shares = Object.keys(sides).map((name) => ({ name, share: (100 * rates[name]!.median) / peak }))
writeResult(
  'adamw',
  { elements, gigabytesPerSecond: rates },
  shares.map(({ name, share }) => ({
    what: `AdamW, ${name}`,
    unit: '% of the bandwidth',
    hearth: share,
    goal: 'at least 85',
    met: share >= 85,
  })),
)
