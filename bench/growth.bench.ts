// How the cost of a training step grows: with the size of the model, the context, the batch, and threads. One line a
// point, each in a process of its own, one after the other. Workers are in the benchmark of that name.
// Goals: GPT-2 124M at a context of 8192 gives at least half of the tokens a second of 512; memory linear in the context.
//   npm run bench -- growth [--only size|context|batch|threads] [--steps 2] [--limit-gb 16]
// Points whose state alone (16 bytes a parameter) is over the limit are left out, and said.
import { fork } from 'node:child_process'
import { totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { hasFastBfloat16, numThreads } from '@hearth/torch'
import { preset } from 'hearth/models'
import type { Cost, Point } from './growth-point.js'
import type { Headline } from './headline.js'
import { printTable, short, writeResult } from './measure.js'

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    steps: { type: 'string', default: '2' },
    'limit-gb': { type: 'string', default: String(Math.floor((0.75 * totalmem()) / 2 ** 30)) },
  },
})
const usual: Point = {
  preset: 'gpt2-124m',
  batch: 1,
  sequenceLength: 512,
  threads: numThreads(),
  dtype: hasFastBfloat16() ? 'bfloat16' : 'float32',
  steps: Number(values.steps),
}
const SERIES: Record<string, Partial<Point>[]> = {
  size: ['spark', 'ember', 'gpt2-124m', 'gpt2-355m', 'gpt2-774m', 'gpt3-1.3b'].map((name) => ({
    preset: name,
    sequenceLength: 256,
  })),
  context: [256, 512, 1024, 2048, 4096, 8192].map((sequenceLength) => ({ sequenceLength })),
  batch: [1, 2, 4, 8].map((batch) => ({ batch, sequenceLength: 256 })),
  threads: Array.from({ length: numThreads() }, (_, i) => ({ threads: i + 1, sequenceLength: 256 })),
}

function run(point: Point): Promise<Cost> {
  const script = fileURLToPath(new URL('growth-point.ts', import.meta.url))
  return new Promise((resolve, reject) => {
    const child = fork(script, [JSON.stringify(point)], {
      env: { ...process.env, OMP_NUM_THREADS: `${point.threads}` },
    })
    child.on('message', (cost) => resolve(cost as Cost))
    child.on('exit', (code, signal) => reject(new Error(`${JSON.stringify(point)} ended with ${signal ?? code}`)))
  })
}

function stateBytes({ preset: name }: Point): number {
  const { family, config } = preset(name)
  return 16 * family.shape(config).parameters
}

const found: Record<string, (Point & Cost)[]> = {}
for (const [series, points] of Object.entries(SERIES)) {
  if (values.only !== undefined && values.only !== series) continue
  console.log(`${series}: ${usual.dtype}`)
  found[series] = []
  for (const change of points) {
    const point = { ...usual, ...change }
    if (stateBytes(point) > Number(values['limit-gb']) * 2 ** 30) {
      console.log(`${point.preset} left out: its state is ${short(stateBytes(point) / 2 ** 30)} GiB`)
      continue
    }
    found[series].push({ ...point, ...(await run(point)) })
  }
  printTable(
    ['model', 'parameters, M', 'batch', 'tokens', 'threads', 's a step', 'tokens/s', 'peak, MB'],
    found[series].map((row) => [
      row.preset,
      ...[row.parameters / 1e6, row.batch, row.sequenceLength, row.threads, row.secondsPerStep, row.tokensPerSecond],
      row.peakBytes / 2 ** 20,
    ]),
  )
}
writeResult('growth', found, contextHeadlines(found.context ?? []))

/** How the longest context compares with 512 tokens, and how memory grew on the way. */
function contextHeadlines(rows: (Point & Cost)[]): Headline[] {
  const short = rows.find(({ sequenceLength }) => sequenceLength === 512)
  const long = rows.at(-1)
  if (short === undefined || long === undefined || long === short) return []
  const share = long.tokensPerSecond / short.tokensPerSecond
  const growth = (long.peakBytes - short.peakBytes) / (long.sequenceLength - short.sequenceLength)
  return [
    {
      what: `GPT-2 124M, context ${long.sequenceLength} against 512`,
      unit: 'of its tokens/s',
      hearth: share,
      goal: 'at least 0.5',
      met: share >= 0.5,
    },
    { what: 'memory for each further token of context', unit: 'kB', hearth: growth / 1000 },
  ]
}
