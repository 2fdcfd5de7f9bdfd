// An adaptation as a run: trained, stopped and resumed with the same bits, by workers too, and what it leaves behind.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { attachAdapter, compareLogits, loadAdapter } from '../src/adapt/index.js'
import { Tokenizer, trainByteLevelBpe } from '../src/data/index.js'
import { loadModel, saveModel } from '../src/formats/index.js'
import { createModel } from '../src/models/index.js'
import { readMetrics, resolveConfig, resumeRun, startRun, type RunConfig } from '../src/train/index.js'

const folder = mkdtempSync(join(tmpdir(), 'hearth-adapt-'))
afterAll(() => rmSync(folder, { recursive: true }))
const base = join(folder, 'base')
const rows = join(folder, 'rows.jsonl')
const pairs = join(folder, 'pairs.jsonl')
const labelled = join(folder, 'labelled.jsonl')

beforeAll(async () => {
  const texts = Array.from({ length: 24 }, (_, i) => ({ prompt: `What is ${i}?`, completion: ` It is ${i * 3}.` }))
  const tokenizer = await trainByteLevelBpe(
    texts.map(({ prompt, completion }) => prompt + completion),
    { vocabSize: 300 },
  )
  const model = createModel(
    {
      model_type: 'llama',
      vocab_size: 300,
      hidden_size: 32,
      intermediate_size: 64,
      num_hidden_layers: 2,
      num_attention_heads: 2,
      max_position_embeddings: 64,
      tie_word_embeddings: true,
      eos_token_id: 0,
    },
    { seed: 1 },
  )
  await saveModel(base, model, { tokenizer })
  const write = (path: string, all: unknown[]) => writeFileSync(path, all.map((row) => JSON.stringify(row)).join('\n'))
  write(rows, texts)
  write(
    pairs,
    texts.map(({ prompt, completion }) => ({ prompt, chosen: completion, rejected: ' No.' })),
  )
  write(
    labelled,
    texts.map(({ prompt, completion }, i) => ({ prompt, completion, label: i % 2 === 0 })),
  )
})

const configOf = (name: string, adapt: object, more: object = {}): RunConfig =>
  resolveConfig({
    name,
    steps: 4,
    batch: 4,
    sequenceLength: 48,
    dtype: 'float32',
    model: { folder: base },
    data: { sources: [{ path: rows }], heldOutFraction: 0.2 },
    optimizer: { learningRate: 1e-2 },
    schedule: { warmupSteps: 1 },
    every: { log: 1, checkpoint: 2 },
    adapt,
    ...more,
  })
const bytes = (name: string, file = 'adapter/adapter_model.safetensors') => readFileSync(join(folder, name, file))

describe('an adapter is trained as a run', () => {
  test('and is a PEFT folder that the base wears, with the merge beside it', async () => {
    const result = await startRun(configOf('lora', { rank: 4, dropout: 0.1, merge: true }), {
      dir: join(folder, 'lora'),
    })
    expect(result).toMatchObject({ step: 4, stopped: false, model: join(folder, 'lora', 'adapter') })
    const model = loadModel(base)
    const worn = attachAdapter(model, loadAdapter(result.model!, model))
    const merged = loadModel(join(folder, 'lora', 'model'))
    const ids = [...(await Tokenizer.load(result.model!)).encode('What is 4? It is 12.')]
    expect(compareLogits(worn, merged, ids).relative).toBeLessThan(1e-5)
    expect(compareLogits(worn, model, ids).largest).toBeGreaterThan(1e-3)
    const config = JSON.parse(bytes('lora', 'adapter/adapter_config.json').toString()) as Record<string, unknown>
    expect(config).toMatchObject({
      peft_type: 'LORA',
      r: 4,
      lora_alpha: 32,
      base_model_name_or_path: base,
      task_type: 'CAUSAL_LM',
    })
    const { steps } = readMetrics(join(folder, 'lora', 'metrics.jsonl'))
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss)
  })

  test('stopped and resumed it has the same bits, with dropout and packing', async () => {
    const abort = new AbortController()
    const config = configOf('stopped', { rank: 4, dropout: 0.1 })
    const stopped = await startRun(config, {
      dir: join(folder, 'stopped'),
      signal: abort.signal,
      report: (event) => event.kind === 'step' && event.step.number === 2 && abort.abort(),
    })
    expect(stopped).toMatchObject({ step: 2, stopped: true })
    await resumeRun(join(folder, 'stopped'))
    expect(bytes('stopped').equals(bytes('lora'))).toBe(true)
  })

  test('on a base in four bits it resumes with the same bits, and the merge is of the base that was trained on', async () => {
    const adapt = { rank: 4, base: 'nf4', merge: true }
    const whole = await startRun(configOf('qlora', adapt), { dir: join(folder, 'qlora') })
    const abort = new AbortController()
    await startRun(configOf('qlora-stopped', adapt), {
      dir: join(folder, 'qlora-stopped'),
      signal: abort.signal,
      report: (event) => event.kind === 'step' && event.step.number === 3 && abort.abort(),
    })
    await resumeRun(join(folder, 'qlora-stopped'))
    expect(bytes('qlora-stopped').equals(bytes('qlora'))).toBe(true)
    const trainedOn = loadModel(base, { base: 'nf4' })
    const merged = loadModel(join(folder, 'qlora', 'model'))
    const ids = [5, 80, 33, 120, 7, 250]
    const worn = attachAdapter(trainedOn, loadAdapter(whole.model!, trainedOn))
    expect(compareLogits(worn, merged, ids).relative).toBeLessThan(1e-5)
    const { steps } = readMetrics(join(folder, 'qlora', 'metrics.jsonl'))
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss)
    expect(() => configOf('full', { method: 'full', base: 'int8' })).toThrow(/adapt\.base.*int8 cannot be trained/)
  })

  test('by two workers it has the bits of one, and other slots change rounding alone', async () => {
    const slots = { slots: 2 }
    await startRun(configOf('one', { rank: 4 }, slots), { dir: join(folder, 'one') })
    await startRun(configOf('two', { rank: 4 }, slots), { dir: join(folder, 'two'), workers: 2 })
    expect(bytes('two').equals(bytes('one'))).toBe(true)
  })

  test.each<[string, object, string]>([
    ['dora', { method: 'dora' }, rows],
    ['dpo', { objective: 'dpo' }, pairs],
    ['orpo', { objective: 'orpo' }, pairs],
    ['kto', { objective: 'kto' }, labelled],
    ['freeze', { method: 'freeze', train: ['blocks.1', 'norm'] }, rows],
    ['full', { method: 'full', objective: 'dpo' }, pairs],
  ])('%s learns', async (name, adapt, path) => {
    const data = { sources: [{ path }], heldOutFraction: 0.2 }
    const result = await startRun(configOf(name, adapt, { data, steps: 12 }), { dir: join(folder, name) })
    expect(result.heldOut!.loss).toBeGreaterThan(0)
    const { steps } = readMetrics(join(folder, name, 'metrics.jsonl'))
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss)
  })

  test('freezing leaves the rest as it was, to the bit', () => {
    const [before, after] = [loadModel(base), loadModel(join(folder, 'freeze', 'model'))].map(
      ({ weights }) =>
        weights as { embed: { weight: { toArray(): number[] } }; norm: { weight: { toArray(): number[] } } },
    )
    expect(after!.embed.weight.toArray()).toEqual(before!.embed.weight.toArray())
    expect(after!.norm.weight.toArray()).not.toEqual(before!.norm.weight.toArray())
  })

  test('rows that do not fit the objective, and wrong targets, are refused before a folder is made', async () => {
    const wrong = configOf('wrong', { objective: 'dpo', targets: ['q_prj'] })
    await expect(startRun(wrong, { dir: join(folder, 'wrong') })).rejects.toThrow(
      /objective needs pairs[^]*"q_prj" names no linear layer/,
    )
    expect(() => configOf('none', { train: ['norm'] }, { model: { preset: 'spark' } })).toThrow(
      /model\.folder[^]*adapt\.train/,
    )
  })
})
