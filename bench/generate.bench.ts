// Running a model: reading a prompt and writing token after token, in 8 and 4 bit integers, against llama.cpp with Q8_0 and
// Q4_0 of the same weights (npm's prebuilt libraries), alternating in one run. The default is the shape of a 1.1B LLaMA
// with random weights, which needs 10 GB of disk in the temporary folder for a while.
// Goals (on a processor with AMX): prompts at least 4 x; tokens at least 1.15 x in 8 bits and 1.5 x in 4 bits.
//   npm run bench -- generate [--layers 22] [--prompt 512] [--tokens 16] [--rounds 5]
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { noGrad, numThreads, scope, tensor } from '@hearth/torch'
import { trainByteLevelBpe } from 'hearth/data'
import { loadModel, openModelSource, saveGguf, saveModel } from 'hearth/formats'
import { quantiseModel } from 'hearth/generate'
import { createModel, keyValueCacheOf, logits, type LanguageModel } from 'hearth/models'
// eslint-disable-next-line local/folder-order -- what times llama.cpp is what the tests ask it with
import { hasLlama, LlamaReferee } from '../packages/hearth/test/llama/referee.js'
import type { Headline } from './headline.js'
import { alternate, Peer, printTable, short, writeResult, type Measure } from './measure.js'

const { values } = parseArgs({
  options: {
    layers: { type: 'string', default: '22' },
    prompt: { type: 'string', default: '512' },
    tokens: { type: 'string', default: '16' },
    rounds: { type: 'string', default: '5' },
  },
})
const [prompt, tokens] = [Number(values.prompt), Number(values.tokens)]
const VOCABULARY = 32_000
const config = {
  ...{ model_type: 'llama', num_hidden_layers: Number(values.layers), hidden_size: 2048, intermediate_size: 5632 },
  ...{ num_attention_heads: 32, num_key_value_heads: 4, vocab_size: VOCABULARY, max_position_embeddings: 2048 },
}
const FORMATS = [
  { bits: 8, type: 'Q8_0', goal: 1.15 },
  { bits: 4, type: 'Q4_0', goal: 1.5 },
] as const

const folder = mkdtempSync(join(tmpdir(), 'hearth-generate-'))
const referee = hasLlama ? new LlamaReferee() : undefined

/** Reads the prompt from nothing, or writes tokens after it; seconds. */
function sidesOf(model: LanguageModel): Record<'prompt' | 'tokens', () => number> {
  const cache = keyValueCacheOf(model, { capacity: prompt + tokens })
  const read = (ids: number[]) => {
    const input = () => tensor(ids, { dtype: 'int64', shape: [1, ids.length] })
    noGrad(() => scope(() => void logits(model, input(), { cache, lastOnly: true })))
  }
  const timed = (work: () => void) => {
    const started = performance.now()
    work()
    return (performance.now() - started) / 1000
  }
  return {
    prompt: () => {
      cache.reset()
      return timed(() => read(Array.from({ length: prompt }, (_, i) => (i % 1000) + 10)))
    },
    tokens: () => {
      cache.truncate(prompt)
      return timed(() => Array.from({ length: tokens }, () => read([10])))
    },
  }
}

async function peerOf(type: 'Q8_0' | 'Q4_0'): Promise<Peer | undefined> {
  if (referee === undefined) return undefined
  const file = join(folder, `${type}.gguf`)
  await saveGguf(file, openModelSource(join(folder, 'model')), { type })
  const [program, ...args] = referee.timing(file, numThreads(), prompt)
  return new Peer(args, {}, program)
}

const results: Record<string, unknown> = {}
const headlines: Headline[] = []
const rows: (string | number)[][] = []
try {
  const model = createModel(config, { seed: 1 })
  const tokenizer = await trainByteLevelBpe(
    ['Some text for a tokenizer that is padded to the size of the vocabulary.'],
    { vocabSize: 300 },
  )
  await saveModel(join(folder, 'model'), model, { tokenizer })
  for (const format of FORMATS) await measure(format)
} finally {
  rmSync(folder, { recursive: true, force: true })
  referee?.close()
}
printTable(['tokens/s', 'Hearth', 'llama.cpp', 'ratio'], rows)
writeResult('generate', { config, prompt, tokens, threads: numThreads(), ...results }, headlines)
process.exit(0)

async function measure({ bits, type, goal }: (typeof FORMATS)[number]): Promise<void> {
  const peer = await peerOf(type)
  const ours = sidesOf(quantiseModel(loadModel(join(folder, 'model')), bits))
  const seconds = async (line: string) => (await peer!.ask(line)).seconds as number
  for (const [what, count, least] of [
    ['prompt', prompt, 4],
    ['tokens', tokens, goal],
  ] as const) {
    const sides: Record<string, Measure> = { Hearth: () => count / ours[what]() }
    if (peer) sides['llama.cpp'] = async () => count / (await seconds(what === 'prompt' ? 'prompt' : String(tokens)))
    // Tokens are written after a prompt.
    ours.prompt()
    if (peer) await seconds('prompt')
    const rates = await alternate<string>(sides, { rounds: Number(values.rounds) })
    const [own, other] = [rates.Hearth!.median, rates['llama.cpp']?.median]
    const label = `${what === 'prompt' ? `prompt of ${prompt}` : 'token by token'}, int${bits} and ${type}`
    rows.push([label, own, other ?? '', other === undefined ? '' : short(own / other)])
    results[label] = rates
    headlines.push({
      ...{ what: label, unit: 'tokens/s', hearth: own },
      ...(other !== undefined && {
        peer: { name: 'llama.cpp', value: other },
        goal: `at least ${least} x`,
        met: own >= least * other,
      }),
    })
  }
  peer?.close()
}
