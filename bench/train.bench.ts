// A training step here and in plain PyTorch (bench/peers/train.py), alternating in one run: tokens a second, the share of
// the peak that the model's own arithmetic uses, and peak memory. Each side, and each shape, is a process of its own.
// Goals (on a processor with AMX, in bf16): GPT-2 at least 5 x PyTorch, 32 % of the peak; spark and ember at least 4 x; at
// most 0.6 x its peak memory.
//   npm run bench -- train [--preset NAME --batch 4 --seq 256] [--dtype bf16|fp32] [--rounds 5] [--compile]
// Without --preset: GPT-2 124M, spark and ember. bf16 where the processor multiplies it in hardware, else fp32, unless
// --dtype says otherwise. --compile lets PyTorch compile its model (PyTorch 2).
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { call, hasFastBfloat16, numThreads } from '@hearth/torch'
import { flopsPerToken } from 'hearth/train'
import type { Headline } from './headline.js'
import { alternate, hasPytorch, Peer, printTable, short, writeResult, type Summary } from './measure.js'
import { configOf, TrainStep } from './train-step.js'

const { values } = parseArgs({
  options: {
    preset: { type: 'string' },
    batch: { type: 'string', default: '4' },
    seq: { type: 'string', default: '256' },
    dtype: { type: 'string', default: hasFastBfloat16() ? 'bf16' : 'fp32' },
    rounds: { type: 'string', default: '5' },
    compile: { type: 'boolean', default: false },
  },
})
const USUAL = [
  ['gpt2-124m', '4', '256'],
  ['spark', '8', '128'],
  ['ember', '4', '256'],
] as const
const GOALS: Record<string, number> = { 'gpt2-124m': 5, spark: 4, ember: 4 }

if (values.preset !== undefined) {
  await measure(values.preset, Number(values.batch), Number(values.seq))
  process.exit(0)
}
for (const [preset, batch, seq] of USUAL) {
  const args = [...process.argv.slice(2), '--preset', preset, '--batch', batch, '--seq', seq]
  const [code] = (await once(fork(fileURLToPath(import.meta.url), args), 'exit')) as [number | null]
  if (code !== 0) process.exitCode = 1
}

async function measure(preset: string, batch: number, sequenceLength: number): Promise<void> {
  const tokens = batch * sequenceLength
  const dtype = values.dtype === 'bf16' ? 'bfloat16' : 'float32'
  const ours = new TrainStep({ config: configOf(preset, sequenceLength), batch, sequenceLength, dtype })
  const peer = hasPytorch() ? await startPeer(ours.shape, preset, batch, sequenceLength) : undefined
  let peerPeak = 0
  const sides = {
    Hearth: async () => tokens / (await ours.seconds()),
    ...(peer && {
      PyTorch: async () => {
        const answer = await peer.ask('step')
        peerPeak = answer.peak_rss_bytes as number
        return tokens / (answer.seconds as number)
      },
    }),
    peak: () => call('hearth::measure_peak', dtype, undefined, 0.02) as number,
  }
  const { peak, ...rates } = await alternate<string>(sides, { rounds: Number(values.rounds), warmup: 2 })
  peer?.close()
  const memory: Record<string, number> = { Hearth: process.resourceUsage().maxRSS * 1024, PyTorch: peerPeak }
  const label = `${preset}, ${batch} x ${sequenceLength} tokens, ${values.dtype}`
  const used = (rate: number) => (rate * flopsPerToken(ours.shape, sequenceLength)) / (peak!.median * 1e9)
  print(label, rates, memory, used)
  writeResult(
    `train-${preset}-${batch}x${sequenceLength}-${values.dtype}${values.compile ? '-compiled' : ''}`,
    { preset, batch, sequenceLength, dtype: values.dtype, tokensPerSecond: rates, peak, peakBytes: memory },
    headlines(label, preset, rates, memory, used),
  )
}

async function startPeer(
  shape: TrainStep['shape'],
  preset: string,
  batch: number,
  sequenceLength: number,
): Promise<Peer> {
  const config = configOf(preset, sequenceLength)
  const sizes = {
    family: config.model_type,
    ...{ layers: shape.layers, width: shape.width, heads: shape.heads, hidden: shape.feedForward },
    ...{ vocab: shape.vocabularySize, tied: shape.embeddingParameters === 0 ? 1 : 0 },
    ...{ batch, seq: sequenceLength, dtype: values.dtype, threads: numThreads() },
  }
  const args = Object.entries(sizes).flatMap(([name, value]) => [`--${name}`, String(value)])
  const script = fileURLToPath(new URL('peers/train.py', import.meta.url))
  const started = new Peer([script, ...args, ...(values.compile ? ['--compile'] : [])], {
    OMP_NUM_THREADS: String(numThreads()),
  })
  await started.read()
  return started
}

type Used = (rate: number) => number

function print(label: string, rates: Record<string, Summary>, memory: Record<string, number>, used: Used): void {
  console.log(`${label}, ${numThreads()} threads`)
  printTable(
    ['side', 'tokens/s', 'quartiles', 'of the peak', 'peak memory, MB'],
    Object.entries(rates).map(([name, { median, low, high }]) => [
      name,
      median,
      `${short(low)} to ${short(high)}`,
      `${short(100 * used(median))} %`,
      memory[name]! / 2 ** 20,
    ]),
  )
}

function headlines(
  label: string,
  preset: string,
  { Hearth, PyTorch }: Record<string, Summary>,
  memory: Record<string, number>,
  used: Used,
): Headline[] {
  const speed = Hearth!.median
  const lines: Headline[] = [{ what: label, unit: 'tokens/s', hearth: speed }]
  if (PyTorch !== undefined) {
    const goal = GOALS[preset]
    lines[0]!.peer = { name: 'PyTorch', value: PyTorch.median }
    if (goal !== undefined)
      Object.assign(lines[0]!, { goal: `at least ${goal} x`, met: speed >= goal * PyTorch.median })
    const peer = { name: 'PyTorch', value: memory.PyTorch! / 2 ** 20 }
    const ratio = memory.Hearth! / memory.PyTorch!
    const what = `${label}: peak memory`
    lines.push({ what, unit: 'MB', hearth: memory.Hearth! / 2 ** 20, peer, goal: 'at most 0.6 x', met: ratio <= 0.6 })
  }
  const share = 100 * used(speed)
  lines.push({ what: `${label}: of the peak`, unit: '%', hearth: share, goal: 'at least 32 %', met: share >= 32 })
  return lines
}
