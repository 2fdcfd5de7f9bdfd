// The cost of one operator call: add of two tensors of three elements, its result released too, against the same call in
// Python's PyTorch where there is one. Batches are short, so that a busy machine interrupts few of them, and alternate.
import { add, noGrad, numThreads, ones, scope, setNumThreads } from '@hearth/torch'
import { alternate, hasPytorch, Peer, printTable, writeResult, type Measure } from './measure.js'

const CALLS = 2000
const ROUNDS = 150

setNumThreads(1)
const [x, y] = [ones([3]), ones([3])]

/** Nanoseconds a call, results released by the scope around as many calls as a small training step makes. */
function ours(): number {
  const start = process.hrtime.bigint()
  for (let batch = 0; batch < CALLS / 200; batch++)
    scope(() => {
      for (let i = 0; i < 200; i++) add(x, y)
    })
  return Number(process.hrtime.bigint() - start) / CALLS
}

const sides: Record<string, Measure> = { hearth: ours, 'hearth, noGrad': () => noGrad(ours) }
const peer = hasPytorch() ? new Peer([new URL('peers/call.py', import.meta.url).pathname, String(CALLS)]) : undefined
if (peer !== undefined) {
  await peer.read()
  sides.PyTorch = async () => (await peer.ask('grad')).ns as number
  sides['PyTorch, no_grad'] = async () => (await peer.ask('noGrad')).ns as number
}

const times = await alternate(sides, { rounds: ROUNDS, warmup: 20 })
peer?.close()
const base = times.PyTorch?.median
printTable(
  ['add of two 3-element tensors, ns', 'median', 'from', 'to', 'of PyTorch'],
  Object.entries(times).map(([name, time]) => [
    name,
    time.median,
    time.low,
    time.high,
    base === undefined ? '?' : (time.median / base).toFixed(2),
  ]),
)
writeResult('call', { calls: CALLS, threads: numThreads(), times, ratio: base && times.hearth!.median / base }, [
  {
    what: 'one operator call',
    unit: 'ns',
    hearth: times.hearth!.median,
    ...(base !== undefined && { peer: { name: 'PyTorch', value: base } }),
    goal: 'under 850',
    met: times.hearth!.median < 850,
  },
])
