// Runs as their users meet them: train, stop, resume, damage a checkpoint, make mistakes. A tiny model on real files.
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tensor } from '@hearth/torch'
import { loadModel } from 'hearth/formats'
import { logits } from 'hearth/models'
import {
  listRuns,
  loadCheckpointModel,
  readMetrics,
  readRun,
  resolveConfig,
  resumeRun,
  runPaths,
  startRun,
  type RunConfigInput,
  type RunEvent,
  type RunOptions,
} from 'hearth/train'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = mkdtempSync(join(tmpdir(), 'hearth-run-'))
const texts = join(root, 'texts.jsonl')
const STEPS = 12

beforeAll(() => {
  const words = 'the a fire log ash ember spark burns glows falls warm cold night morning and'.split(' ')
  const text = (row: number) =>
    Array.from({ length: 60 }, (_, i) => words[(row * 7 + i * i * 3) % words.length]).join(' ')
  writeFileSync(texts, Array.from({ length: 80 }, (_, row) => JSON.stringify({ text: text(row) })).join('\n'))
})
afterAll(() => rmSync(root, { recursive: true }))

function config(name: string, changes: Partial<RunConfigInput> = {}) {
  const sizes = {
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    intermediate_size: 64,
  }
  return resolveConfig({
    name,
    steps: STEPS,
    batch: 4,
    slots: 2,
    sequenceLength: 16,
    dtype: 'float32',
    model: { preset: 'spark', config: sizes },
    tokenizer: { vocabularySize: 300 },
    data: { sources: [{ path: texts }], heldOutFraction: 0.2 },
    optimizer: { name: 'muon', learningRate: 3e-3 },
    schedule: { kind: 'cosine', warmupSteps: 3 },
    every: { log: 1, evaluate: 6, checkpoint: 3 },
    ...changes,
  })
}

/** Starts a run and stops it once `step` steps are done. */
async function stoppedAt(name: string, step: number, options: RunOptions = {}): Promise<string> {
  const stop = new AbortController()
  const dir = join(root, name)
  const report = (event: RunEvent) => {
    if (event.kind === 'step' && event.step.number === step) stop.abort()
  }
  const result = await startRun(config(name), { ...options, dir, signal: stop.signal, report })
  expect(result).toMatchObject({ stopped: true, step })
  return dir
}

const weightsHash = (dir: string) =>
  createHash('sha256')
    .update(readFileSync(join(dir, 'model/model.safetensors')))
    .digest('hex')

describe('a run', () => {
  let undisturbed: string

  test('learns, measures, and ends as a Hugging Face folder that gives logits', async () => {
    const dir = join(root, 'whole')
    const result = await startRun(config('whole'), { dir })
    expect(result).toMatchObject({ stopped: false, step: STEPS })
    const { steps, flopConvention } = readMetrics(runPaths(dir).metrics)
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1))
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss)
    expect(flopConvention).toMatch(/6 \(N/)
    expect(result.heldOut!.bitsPerByte).toBeGreaterThan(0)
    expect(logits(loadModel(result.model!), tensor([[1, 2, 3]], { dtype: 'int64' })).shape).toEqual([1, 3, 300])
    expect(listRuns(root).find(({ name }) => name === 'whole')).toMatchObject({ state: 'finished', step: STEPS })
    undisturbed = weightsHash(dir)
  })

  test.each([1, 2, 3, 5, 7, 11])('stopped after step %i and resumed has the bits of one that was not', async (step) => {
    const dir = await stoppedAt(`stopped-${step}`, step)
    expect(await resumeRun(dir)).toMatchObject({ stopped: false, step: STEPS })
    expect(weightsHash(dir)).toBe(undisturbed)
    expect(readMetrics(runPaths(dir).metrics).steps).toHaveLength(STEPS)
  })

  test('with activation checkpointing trains as well', async () => {
    const dir = join(root, 'recomputed')
    await startRun(config('recomputed', { activationCheckpointing: true }), { dir })
    const [plain, recomputed] = ['whole', 'recomputed'].map(
      (name) => readMetrics(runPaths(join(root, name)).metrics).steps,
    )
    expect(recomputed!.at(-1)!.loss).toBeCloseTo(plain!.at(-1)!.loss, 4)
  })

  test('whose newest checkpoint has a flipped bit goes on from the one before, says so, and ends with the same bits', async () => {
    const dir = await stoppedAt('damaged', 8)
    const checkpoints = runPaths(dir).checkpoints
    const newest = readdirSync(checkpoints).sort().at(-1)!
    const shard = readdirSync(join(checkpoints, newest)).find((name) => name.endsWith('.safetensors'))!
    const path = join(checkpoints, newest, shard)
    const bytes = readFileSync(path)
    bytes[bytes.length >> 1]! ^= 1
    writeFileSync(path, bytes)
    const warnings: string[] = []
    await resumeRun(dir, { report: (event) => event.kind === 'warning' && warnings.push(event.message) })
    expect(warnings.join()).toContain(newest)
    expect(weightsHash(dir)).toBe(undisturbed)
  })

  test('that is asked to stop while its data is prepared leaves a run that can be resumed', async () => {
    const dir = join(root, 'early')
    const stop = new AbortController()
    stop.abort()
    expect(await startRun(config('early'), { dir, signal: stop.signal })).toMatchObject({ stopped: true, step: 0 })
    await resumeRun(dir)
    expect(weightsHash(dir)).toBe(undisturbed)
  })
})

describe('the model of a checkpoint', () => {
  const ids = tensor([[1, 2, 3]], { dtype: 'int64' })
  const refused: string[] = []
  const onRefused = ({ path }: { path: string }) => refused.push(path)

  test('of the last step is the model that the run ends with, whatever its configuration says of the vocabulary', async () => {
    const dir = join(root, 'own-vocabulary')
    const { model } = config('x')
    await startRun(config('own-vocabulary', { model: { ...model, config: { ...model.config, vocab_size: 999 } } }), {
      dir,
    })
    const opened = (await loadCheckpointModel(dir, { onRefused }))!
    expect([opened.step, opened.tokenizer.vocabSize, refused]).toEqual([STEPS, 300, []])
    expect(logits(opened.model, ids).toArray()).toEqual(logits(loadModel(join(dir, 'model')), ids).toArray())
  })

  test('that is named is opened, also when it is not the newest', async () => {
    const dir = await stoppedAt('named', 7)
    const checkpoint = join(runPaths(dir).checkpoints, 'step-00000006')
    expect((await loadCheckpointModel(dir, { onRefused, checkpoint }))!.step).toBe(6)
    expect((await loadCheckpointModel(dir, { onRefused }))!.step).toBe(7)
  })

  test('is not there before the first', async () => {
    const dir = join(root, 'none-yet')
    await startRun(config('none-yet'), { dir, signal: AbortSignal.abort() })
    expect(await loadCheckpointModel(dir, { onRefused })).toBeUndefined()
  })
})

describe('a run that goes on with changes', () => {
  const damageNewest = (dir: string) => {
    const { checkpoints } = runPaths(dir)
    writeFileSync(join(checkpoints, readdirSync(checkpoints).sort().at(-1)!, 'manifest.json'), '{}')
  }

  test('takes more steps: with a constant learning rate, the bits of a run that was to take as many from the start', async () => {
    const schedule = { kind: 'constant', warmupSteps: 3 } as const
    const [longer, whole] = [join(root, 'longer'), join(root, 'constant')]
    await startRun(config('constant', { schedule }), { dir: whole })
    await startRun(config('longer', { schedule, steps: 6 }), { dir: longer })
    const first = weightsHash(longer)
    expect(await resumeRun(longer, { change: (c) => ({ ...c, steps: STEPS }) })).toMatchObject({ step: STEPS })
    expect(weightsHash(longer)).toBe(weightsHash(whole))
    expect(readMetrics(runPaths(longer).metrics).steps).toHaveLength(STEPS)
    // The model of the former end is kept.
    const kept = readFileSync(join(longer, 'model-step-00000006/model.safetensors'))
    expect(createHash('sha256').update(kept).digest('hex')).toBe(first)
  })

  test('says and writes down what changed, and the learning rate follows the new total', async () => {
    const dir = await stoppedAt('extended', 6)
    const events: RunEvent[] = []
    const report = (event: RunEvent) => void events.push(event)
    const change = (c: RunConfigInput) => ({ ...c, steps: 18, every: { ...c.every, log: 2 } })
    expect(await resumeRun(dir, { change, report })).toMatchObject({ step: 18, of: 18, stopped: false })
    const changes = [{ step: 6, from: { steps: STEPS, 'every.log': 1 }, to: { steps: 18, 'every.log': 2 } }]
    expect(readRun(dir)).toMatchObject({ config: { steps: 18, every: { log: 2 } }, changes })
    const said = events.find((event) => event.kind === 'change')!
    const taken = events.flatMap((event) => (event.kind === 'step' ? [event.step.learningRate] : []))
    expect(said.change).toMatchObject(changes[0]!)
    expect(said.learningRates[1]).toBe(taken[0])
    expect(said.learningRates[1]).toBeGreaterThan(said.learningRates[0])
  })

  test('and whose newest checkpoint is damaged does the steps before the change once more with their own learning rate', async () => {
    const dir = await stoppedAt('extended-damaged', 6)
    damageNewest(dir)
    await resumeRun(dir, { change: (c) => ({ ...c, steps: 18 }) })
    expect(weightsHash(dir)).toBe(weightsHash(join(root, 'extended')))
  })

  test('refuses all that decided the steps already done, and is left as it was', async () => {
    const dir = await stoppedAt('refusing', 4)
    const files = () => ['config', 'status'].map((name) => readFileSync(runPaths(dir)[name as 'config'], 'utf8'))
    const before = files()
    const change = (c: RunConfigInput) => ({
      ...c,
      steps: 3,
      batch: 8,
      seed: 1,
      dtype: 'bfloat16',
      colour: 'red',
      data: { ...c.data, sources: [...c.data.sources, { path: 'more.txt' }] },
      optimizer: { ...c.optimizer, learningRate: NaN },
    })
    const message = await resumeRun(dir, { change }).catch((error: unknown) => (error as Error).message)
    for (const line of [
      'seed: 1337 cannot become 1',
      'batch: 4 cannot become 8',
      'dtype: "float32" cannot become "bfloat16"',
      'data.sources.1.path: nothing cannot become "more.txt"',
      'colour: unknown field',
      'optimizer.learningRate: ',
      'steps: 3, but 4 steps are done',
      'A run that goes on takes: steps, every, keepCheckpoints, evaluateTokens, name, samplePrompt',
    ])
      expect(message).toContain(line)
    expect(files()).toEqual(before)
  })

  test('that say what it says already is no change', async () => {
    const dir = await stoppedAt('same', 4)
    await resumeRun(dir, { change: (c) => ({ ...c, batch: 4 }) })
    expect(readRun(dir).changes).toBeUndefined()
    expect(weightsHash(dir)).toBe(weightsHash(join(root, 'whole')))
  })

  test('whose list of changes is damaged is refused', async () => {
    const dir = await stoppedAt('odd-changes', 4)
    const { config: path } = runPaths(dir)
    writeFileSync(path, readFileSync(path, 'utf8').replace('"config":', '"changes": [{ "step": "six" }],\n"config":'))
    await expect(resumeRun(dir)).rejects.toThrow(/config\.json: changes\.0\..* is damaged/)
  })
})

describe('mistakes are told before anything is made', () => {
  test('a folder that holds a run already', async () => {
    await expect(startRun(config('whole'), { dir: join(root, 'whole') })).rejects.toThrow(/hearth resume/)
  })

  test('data that is not there', async () => {
    const dir = join(root, 'no-data')
    const missing = config('x', { data: { sources: [{ path: join(root, 'nothing.txt') }] } })
    await expect(startRun(missing, { dir })).rejects.toThrow(/nothing\.txt/)
    expect(existsSync(dir)).toBe(false)
  })

  test('everything that is wrong with a configuration at once', () => {
    const wrong = { ...config('x'), steps: 0, optimizer: { name: 'adamw', learningRate: NaN }, lerningRate: 1 }
    let message = ''
    try {
      resolveConfig(wrong)
    } catch (error) {
      message = (error as Error).message
    }
    for (const part of ['steps', 'optimizer.learningRate', 'lerningRate']) expect(message).toContain(part)
  })

  test('a shape that is impossible', async () => {
    const odd = config('odd', { model: { preset: 'spark', config: { num_attention_heads: 7 } } })
    await expect(startRun(odd, { dir: join(root, 'odd') })).rejects.toThrow(/heads|divi/)
    expect(existsSync(join(root, 'odd'))).toBe(false)
  })

  test('data that is not there and a sequence that the model cannot read, in one error', async () => {
    const both = config('both', { sequenceLength: 4096, data: { sources: [{ path: join(root, 'nothing.txt') }] } })
    await expect(startRun(both, { dir: join(root, 'both') })).rejects.toThrow(/nothing\.txt[^]*sequenceLength/)
  })

  test('two sources that are not there, a folder that is no model and a GPU that is not there, before anything is made', async () => {
    const dir = join(root, 'early-mistakes')
    const sources = ['first.txt', 'second.txt'].map((name) => ({ path: join(root, name) }))
    const wrong = config('wrong', { device: 'cuda:7', model: { folder: join(root, 'no-model') }, data: { sources } })
    await expect(startRun(wrong, { dir })).rejects.toThrow(/first\.txt[^]*second\.txt[^]*no-model[^]*cuda:7/)
    expect(existsSync(dir)).toBe(false)
  })

  test('tokens that are damaged, with what helps; made once more, the bits are the same', async () => {
    const dir = await stoppedAt('damaged-tokens', 4)
    const tokens = join(dir, 'tokens/0')
    writeFileSync(join(tokens, 'train-00000.bin'), 'torn')
    await expect(resumeRun(dir)).rejects.toThrow(/tokens of this run are damaged[^]*rm -r .*tokens\/0, and resume/)
    rmSync(tokens, { recursive: true })
    await resumeRun(dir)
    expect(weightsHash(dir)).toBe(weightsHash(join(root, 'whole')))
  })

  test('sources that changed after the tokens were lost, and a tokenizer that is another', async () => {
    const dir = await stoppedAt('other-sources', 4)
    const before = readFileSync(texts)
    try {
      writeFileSync(texts, readFileSync(texts, 'utf8').replaceAll('ember', 'timber'))
      rmSync(join(dir, 'tokenizer'), { recursive: true })
      await expect(resumeRun(dir)).rejects.toThrow(/made by another tokenizer/)
      rmSync(join(dir, 'tokens'), { recursive: true })
      await expect(resumeRun(dir)).rejects.toThrow(/not those that it was trained on/)
    } finally {
      writeFileSync(texts, before)
    }
    for (const name of ['tokenizer', 'tokens']) rmSync(join(dir, name), { recursive: true })
    await resumeRun(dir)
    expect(weightsHash(dir)).toBe(weightsHash(join(root, 'whole')))
  })

  test('a configuration that was changed under a run', async () => {
    const dir = await stoppedAt('changed', 4)
    const path = runPaths(dir).config
    writeFileSync(path, readFileSync(path, 'utf8').replace('"learningRate": 0.003', '"learningRate": 0.004'))
    await expect(resumeRun(dir)).rejects.toThrow(/another configuration/)
  })
})
