// Memory of a rank for each stage of sharding: what the formula says (hearth/train memoryPerWorker), and what two processes
// measure: tensors at their peak and the mapped state, or, where the state is on disk, the growth of the resident memory.
// npx tsx bench/sharding.bench.ts
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { empty, memoryStats, ProcessGroup, RendezvousServer, resetPeakMemory, setNumThreads } from '@hearth/torch'
import { configure } from 'hearth/models'
import { adamw } from 'hearth/optim'
import { flattenTree } from 'hearth/tree'
import { memoryPerWorker, nextToken, shardLayout, ShardedTrainer, SHARDINGS, ShardState } from 'hearth/train'
import type { Offload, Sharding } from 'hearth/train'

const [RANKS, TOKENS, WIDTH, STEPS] = [2, 64, 512, 2]
const MODEL = {
  ...{ model_type: 'llama', vocab_size: 8192, hidden_size: WIDTH, num_hidden_layers: 12, num_attention_heads: 8 },
  ...{ num_key_value_heads: 8, intermediate_size: 1408, max_position_embeddings: 128, tie_word_embeddings: false },
}

function skeleton() {
  const { family, config } = configure(MODEL)
  const shapes: Record<string, readonly number[]> = {}
  const tree = family.build(config, { tensor: (path, shape) => ((shapes[path] = shape), empty([0])) })
  const ordered = Object.keys(flattenTree(tree)).map((path) => [path, shapes[path]!] as const)
  return { family, config, tree, shapes: Object.fromEntries(ordered) }
}

/** Of this process: since it was started, or since resetPeak(). */
const peakResident = () => 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1])

interface Job {
  rank: number
  port: number
  folder: string
  sharding: Sharding
  offload: Offload
}

async function measure({ rank, port, folder, sharding, offload }: Job) {
  setNumThreads(1)
  const { family, config, tree, shapes } = skeleton()
  const store = { host: '127.0.0.1', port }
  const group = await ProcessGroup.join({ store, rank, size: RANKS, timeoutSeconds: 60, generation: 0 })
  const isWhole = sharding === 'replicate'
  const layout = shardLayout(shapes, isWhole ? 1 : RANKS)
  const place = { path: join(folder, `${sharding}-${offload}-${rank}`), layout, shard: isWhole ? 0 : rank }
  const optimizer = adamw()
  const state = ShardState.create({ ...place, hash: 'bench', offload, optimizer })
  state.fill(0, null, () => undefined)
  const ids = Int32Array.from({ length: TOKENS }, (_, i) => i * 7)
  const trainer = new ShardedTrainer({
    ...{ group, sharding, state, tree, optimizer, slots: RANKS, seed: 1, dtype: 'float32', device: 'cpu' },
    ...{ activationCheckpointing: true, clip: 1, schedule: () => 1e-3, objective: nextToken({ family, config }) },
    batches: { slotAt: () => ({ inputs: ids, targets: ids, shape: [1, TOKENS] as const }) },
  })
  const before = process.memoryUsage.rss()
  resetPeakMemory()
  for await (const step of trainer.steps(STEPS)) if (!(step.loss > 0)) throw new Error('no loss')
  const mapped = offload === 'memory' ? state.nbytes : 0
  process.send!({ tensors: memoryStats().peakBytes, mapped, resident: peakResident() - before })
  await group.leave()
  process.disconnect()
}

async function run(sharding: Sharding, offload: Offload, folder: string) {
  const server = await RendezvousServer.listen()
  const ranks = Array.from({ length: RANKS }, (_, rank) => {
    const child = fork(fileURLToPath(import.meta.url), ['rank'], { execArgv: ['--import', 'tsx'] })
    child.send({ rank, port: server.port, folder, sharding, offload } satisfies Job)
    return once(child, 'message') as Promise<[{ tensors: number; mapped: number; resident: number }]>
  })
  const [[first]] = (await Promise.all(ranks)) as [[{ tensors: number; mapped: number; resident: number }]]
  server.close()
  const { shapes } = skeleton()
  const sizes = { ranks: RANKS, slots: RANKS, tokens: TOKENS, width: WIDTH, bytes: 4, moments: 2 } as const
  const formula = memoryPerWorker({ shapes, sharding, offload, ...sizes })
  const expected = formula.total
  // What is mapped from disk is seen in the resident memory alone.
  const measured = offload === 'memory' ? first.tensors + first.mapped : first.resident
  const MB = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`.padStart(9)
  console.log(
    `${sharding.padEnd(11)}${offload.padEnd(7)}${MB(expected)}${MB(measured)}${(measured / expected).toFixed(3).padStart(8)}${MB(first.resident)}`,
  )
}

if (process.argv[2] === 'rank') process.once('message', (job: Job) => void measure(job))
else {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-sharding-'))
  console.log('stage      offload  formula  measured  ratio  resident growth')
  for (const offload of ['memory', 'disk'] as const)
    for (const sharding of SHARDINGS) await run(sharding, offload, folder)
  rmSync(folder, { recursive: true })
}
