// Memory that runs here really take, by method, beside what `hearth plan` says before: the resident memory of a process at
// its fullest, over a short run of a LLaMA of 45M weights. npm run bench -- planning
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setNumThreads } from '@hearth/torch'
import { configure } from 'hearth/models'
import { memoryHere, plannedModel, type Method } from 'hearth/plan'
import { resolveConfig, startRun } from 'hearth/train'

const [WIDTH, LAYERS, VOCABULARY, SAMPLES, LENGTH, RANK] = [640, 8, 2048, 4, 256, 16]
const SHAPE = {
  ...{ hidden_size: WIDTH, num_hidden_layers: LAYERS, num_attention_heads: 10, num_key_value_heads: 10 },
  ...{ intermediate_size: 1728, max_position_embeddings: 512, tie_word_embeddings: false, head_dim: 64 },
}

interface Case {
  name: string
  method: Method
  checkpointing: boolean
}

const CASES: readonly Case[] = [
  { name: 'full', method: 'full', checkpointing: false },
  { name: 'full, blocks recomputed', method: 'full', checkpointing: true },
  { name: 'lora', method: 'lora', checkpointing: false },
  { name: 'qlora', method: 'qlora', checkpointing: false },
]

const peakResident = () => 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1])

/** As `hearth train` and `hearth adapt` make them. */
function configOf({ name, method, checkpointing }: Case, folder: string, texts: string) {
  const adapted = method !== 'full'
  return resolveConfig({
    name: name.replaceAll(/\W+/g, '-'),
    ...{ steps: 3, batch: SAMPLES, sequenceLength: LENGTH, dtype: 'float32' },
    activationCheckpointing: checkpointing,
    model: adapted ? { folder: join(folder, 'full', 'model') } : { preset: 'spark', config: SHAPE },
    tokenizer: { vocabularySize: VOCABULARY },
    data: { sources: [{ path: texts }], heldOutFraction: 0.05 },
    ...(adapted && {
      adapt: { method: 'lora', rank: RANK, targets: 'all-linear', ...(method === 'qlora' && { base: 'nf4' }) },
    }),
    ...{ optimizer: { learningRate: 1e-4 }, schedule: { warmupSteps: 1 }, evaluateTokens: 512, keepCheckpoints: 1 },
  })
}

async function measure(job: { each: Case; folder: string; texts: string }): Promise<void> {
  setNumThreads(1)
  const config = configOf(job.each, job.folder, job.texts)
  await startRun(config, { dir: join(job.folder, config.name) })
  process.send!(peakResident())
  process.disconnect()
}

/** Words of no meaning, enough of them for a vocabulary. */
function writeTexts(folder: string): string {
  const path = join(folder, 'texts.jsonl')
  const word = (n: number) => ((n * 2_654_435_761) % 1_000_003).toString(36)
  const text = (row: number) => Array.from({ length: 40 }, (_, i) => word((row * 40 + i) % 5000)).join(' ')
  writeFileSync(path, Array.from({ length: 900 }, (_, row) => JSON.stringify({ text: text(row) })).join('\n'))
  return path
}

async function compare(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-planning-'))
  const texts = writeTexts(folder)
  const model = plannedModel('bench', configure({ model_type: 'llama', vocab_size: VOCABULARY, ...SHAPE }))
  console.log('method                     planned  measured  ratio')
  for (const each of CASES) {
    const { method, checkpointing } = each
    const layout = { sharding: 'replicate', checkpointing, offload: false, microBatch: SAMPLES } as const
    const { total } = memoryHere({ model, method, rank: RANK, length: LENGTH, devices: 1, layout }, 4)
    const child = fork(fileURLToPath(import.meta.url), ['run'], { execArgv: ['--import', 'tsx'] })
    child.send({ each, folder, texts })
    const [measured] = (await once(child, 'message')) as [number]
    const MB = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`.padStart(9)
    console.log(`${each.name.padEnd(25)}${MB(total)} ${MB(measured)}${(total / measured).toFixed(3).padStart(7)}`)
  }
  rmSync(folder, { recursive: true })
}

if (process.argv[2] === 'run') process.once('message', (job: Parameters<typeof measure>[0]) => void measure(job))
else await compare()
