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
  readMetrics,
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

  test('a configuration that was changed under a run', async () => {
    const dir = await stoppedAt('changed', 4)
    const path = runPaths(dir).config
    writeFileSync(path, readFileSync(path, 'utf8').replace('"learningRate": 0.003', '"learningRate": 0.004'))
    await expect(resumeRun(dir)).rejects.toThrow(/another configuration/)
  })
})
