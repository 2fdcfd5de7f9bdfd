// A run whose AdamW keeps its moments in bytes: checkpoints, the state file and workers carry them like any other state.
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError } from '@hearth/torch'
import { resolveConfig, resumeRun, runPaths, startRun, type RunOptions } from 'hearth/train'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = mkdtempSync(join(tmpdir(), 'hearth-eight-bit-'))
const texts = join(root, 'texts.jsonl')
const STEPS = 8

beforeAll(() => {
  const words = 'the a fire log ash ember spark burns glows falls warm cold night morning and'.split(' ')
  const text = (row: number) =>
    Array.from({ length: 60 }, (_, i) => words[(row * 7 + i * i * 3) % words.length]).join(' ')
  writeFileSync(texts, Array.from({ length: 80 }, (_, row) => JSON.stringify({ text: text(row) })).join('\n'))
})
afterAll(() => rmSync(root, { recursive: true }))

function config(name: string, optimizer: 'adamw' | 'sgd' = 'adamw') {
  const heads = { num_attention_heads: 2, num_key_value_heads: 1 }
  const sizes = { hidden_size: 64, num_hidden_layers: 1, intermediate_size: 128, ...heads }
  return resolveConfig({
    ...{ name, steps: STEPS, batch: 4, slots: 2, sequenceLength: 16, dtype: 'float32' },
    model: { preset: 'spark', config: sizes },
    tokenizer: { vocabularySize: 300 },
    data: { sources: [{ path: texts }], heldOutFraction: 0.2 },
    optimizer: { name: optimizer, learningRate: 3e-3, moments: '8bit' },
    schedule: { kind: 'cosine', warmupSteps: 3 },
    every: { log: 1, evaluate: STEPS, checkpoint: 3 },
  })
}

/** Runs it as a whole, and gives the hash of the weights that it ends with. */
async function weightsOf(name: string, options: RunOptions): Promise<string> {
  const dir = join(root, name)
  const { stopped } = await startRun(config(name), { ...options, dir })
  if (stopped) await resumeRun(dir)
  return createHash('sha256')
    .update(readFileSync(join(runPaths(dir).model, 'model.safetensors')))
    .digest('hex')
}

test('ends with the same bits, stopped and resumed or not, in this process or by two workers', async () => {
  const whole = await weightsOf('whole', {})
  const stop = new AbortController()
  const report: RunOptions['report'] = (event) => event.kind === 'step' && event.step.number === 5 && stop.abort()
  expect(await weightsOf('stopped', { report, signal: stop.signal })).toBe(whole)
  expect(await weightsOf('shared', { workers: 2 })).toBe(whole)
})

test('is refused with an optimizer that has no such moments', () => {
  expect(() => config('sgd', 'sgd')).toThrow(ConfigError)
  expect(() => config('sgd', 'sgd')).toThrow(/optimizer\.moments/)
})
