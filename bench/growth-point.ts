// One point of the growth benchmark, in a process of its own so that its peak memory is its own. Tells its parent what
// a step of the shape on its command line costs; not a benchmark by itself.
import type { DType } from '@hearth/torch'
import { setNumThreads } from '@hearth/torch'
import { summarise } from './measure.js'
import { configOf, TrainStep } from './train-step.js'

export interface Point {
  preset: string
  batch: number
  sequenceLength: number
  threads: number
  dtype: DType
  steps: number
}

export interface Cost {
  parameters: number
  secondsPerStep: number
  tokensPerSecond: number
  peakBytes: number
}

const point = JSON.parse(process.argv[2]!) as Point
setNumThreads(point.threads)
const { batch, sequenceLength, dtype } = point
const step = new TrainStep({ config: configOf(point.preset, sequenceLength), batch, sequenceLength, dtype })
const seconds: number[] = []
await step.seconds()
for (let i = 0; i < point.steps; i++) seconds.push(await step.seconds())
const { median } = summarise(seconds)
const cost: Cost = {
  parameters: step.shape.parameters,
  secondsPerStep: median,
  tokensPerSecond: (batch * sequenceLength) / median,
  peakBytes: process.resourceUsage().maxRSS * 1024,
}
process.send!(cost, () => process.exit(0))
