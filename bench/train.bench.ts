// A training step of GPT-2 124M here and in plain PyTorch (bench/peers/train_gpt2.py), alternating in one run.
// Goal: at least PyTorch's tokens/s at no more than its peak memory. Each side runs in a process of its own.
//   npm run bench -- train [--batch 4] [--seq 256] [--dtype bf16|fp32] [--rounds 5] [--layers N --width N --heads N]
// bf16 where the processor multiplies it in hardware, fp32 elsewhere, unless --dtype says otherwise.
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { hasFastBfloat16, numThreads } from '@hearth/torch'
import { alternate, hasPytorch, Peer, printTable, short, writeResult } from './measure.js'
import { TrainStep } from './train-step.js'

const { values } = parseArgs({
  options: {
    batch: { type: 'string', default: '4' },
    seq: { type: 'string', default: '256' },
    dtype: { type: 'string', default: hasFastBfloat16() ? 'bf16' : 'fp32' },
    rounds: { type: 'string', default: '5' },
    layers: { type: 'string', default: '12' },
    width: { type: 'string', default: '768' },
    heads: { type: 'string', default: '12' },
  },
})
const shape = { layers: Number(values.layers), width: Number(values.width), heads: Number(values.heads) }
const [batch, sequenceLength] = [Number(values.batch), Number(values.seq)]
const tokens = batch * sequenceLength

const ours = new TrainStep({ ...shape, batch, sequenceLength, dtype: values.dtype === 'bf16' ? 'bfloat16' : 'float32' })
const peer = hasPytorch() ? await startPeer() : undefined

async function startPeer(): Promise<Peer> {
  const script = fileURLToPath(new URL('peers/train_gpt2.py', import.meta.url))
  const sizes = Object.entries({ ...shape, batch, seq: sequenceLength, dtype: values.dtype, threads: numThreads() })
  const started = new Peer([script, ...sizes.flatMap(([name, value]) => [`--${name}`, String(value)])], {
    OMP_NUM_THREADS: String(numThreads()),
  })
  await started.read()
  return started
}

let peerPeak = 0
const sides = {
  hearth: async () => tokens / (await ours.seconds()),
  ...(peer && {
    pytorch: async () => {
      const answer = await peer.ask('step')
      peerPeak = answer.peak_rss_bytes as number
      return tokens / (answer.seconds as number)
    },
  }),
}

const result = await alternate<string>(sides, { rounds: Number(values.rounds), warmup: 2 })
peer?.close()
const peak = { hearth: process.resourceUsage().maxRSS * 1024, pytorch: peerPeak }
console.log(
  `GPT-2 ${short(ours.parameters / 1e6)}M, ${batch} x ${sequenceLength} tokens, ${values.dtype}, ${numThreads()} threads`,
)
printTable(
  ['side', 'tokens/s', 'quartiles', 'peak memory, MB'],
  Object.entries(result).map(([name, { median, low, high }]) => [
    name,
    median,
    `${short(low)} to ${short(high)}`,
    peak[name as keyof typeof peak] / 2 ** 20,
  ]),
)
if (result.pytorch)
  console.log(
    `tokens/s: ${short(result.hearth!.median / result.pytorch.median)} x PyTorch's; peak memory: ${short(peak.hearth / peak.pytorch)} x`,
  )
writeResult('train', { ...shape, batch, sequenceLength, dtype: values.dtype, tokensPerSecond: result, peakBytes: peak })
process.exit(0)
