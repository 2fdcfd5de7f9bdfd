// Runs with `device: 'cuda'`: train, save, stop, resume, export. Skipped where libtorch sees no GPU: docs/guide/gpu.md.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cudaDeviceCount, tensor, type Device } from '@hearth/torch'
import { loadModel } from 'hearth/formats'
import { logits } from 'hearth/models'
import {
  readMetrics,
  readRun,
  resolveConfig,
  resumeRun,
  runPaths,
  startRun,
  type RunConfigInput,
  type RunEvent,
} from 'hearth/train'
import { leavesOf } from 'hearth/tree'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const GPU: Device = 'cuda'
const root = mkdtempSync(join(tmpdir(), 'hearth-run-gpu-'))
const texts = join(root, 'texts.jsonl')
const STEPS = 12

beforeAll(() => {
  const words = 'the a fire log ash ember spark burns glows falls warm cold night morning and'.split(' ')
  const text = (row: number) =>
    Array.from({ length: 60 }, (_, i) => words[(row * 7 + i * i * 3) % words.length]).join(' ')
  writeFileSync(texts, Array.from({ length: 80 }, (_, row) => JSON.stringify({ text: text(row) })).join('\n'))
})
afterAll(() => rmSync(root, { recursive: true }))

function config(name: string, changes: Partial<RunConfigInput>) {
  const sizes = {
    ...{ hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2 },
    ...{ num_attention_heads: 2, num_key_value_heads: 1 },
  }
  return resolveConfig({
    ...{ name, steps: STEPS, batch: 4, slots: 2, sequenceLength: 16, dtype: 'float32' },
    model: { preset: 'spark', config: sizes },
    tokenizer: { vocabularySize: 300 },
    data: { sources: [{ path: texts }], heldOutFraction: 0.2 },
    optimizer: { name: 'adamw', learningRate: 3e-3 },
    schedule: { kind: 'cosine', warmupSteps: 3 },
    every: { log: 1, evaluate: 6, checkpoint: 3 },
    ...changes,
  })
}

const lossesOf = (name: string) => readMetrics(runPaths(join(root, name)).metrics).steps.map(({ loss }) => loss)

function expectAlike(got: readonly number[], expected: readonly number[]): void {
  expect(got).toHaveLength(STEPS)
  for (const [step, loss] of got.entries())
    expect(Math.abs(loss / expected[step]! - 1), `loss of step ${step + 1}`).toBeLessThan(1e-4)
}

describe.skipIf(cudaDeviceCount() === 0)('a run on a GPU', () => {
  test('has the losses of a run on the CPU, and ends as a model that any machine reads', async () => {
    const [onCpu, onGpu] = [
      await startRun(config('on-cpu', { device: 'cpu' }), { dir: join(root, 'on-cpu') }),
      await startRun(config('on-gpu', { device: GPU }), { dir: join(root, 'on-gpu') }),
    ]
    expectAlike(lossesOf('on-gpu'), lossesOf('on-cpu'))
    expect(onGpu.heldOut!.loss / onCpu.heldOut!.loss).toBeCloseTo(1, 3)
    const ids = tensor([[1, 2, 3]], { dtype: 'int64' })
    expect(logits(loadModel(onGpu.model!), ids).isfinite().all().item()).toBe(1)
  })

  test('stopped after step 5 and resumed goes on from its checkpoint', async () => {
    const stop = new AbortController()
    const dir = join(root, 'stopped')
    const report = (event: RunEvent) => {
      if (event.kind === 'step' && event.step.number === 5) stop.abort()
    }
    const stopped = await startRun(config('stopped', { device: GPU }), { dir, signal: stop.signal, report })
    expect(stopped).toMatchObject({ stopped: true, step: 5 })
    expect(await resumeRun(dir)).toMatchObject({ stopped: false, step: STEPS })
    expectAlike(lossesOf('stopped'), lossesOf('on-gpu'))
  })

  test('computes in bfloat16 where nothing else is asked for, keeps float32 weights, and learns', async () => {
    const dir = join(root, 'bfloat16')
    const changes = { device: GPU, dtype: 'auto', activationCheckpointing: true } as const
    const { model } = await startRun(config('bfloat16', changes), { dir })
    expect(readRun(dir).config).toMatchObject({ device: GPU, dtype: 'bfloat16' })
    const losses = lossesOf('bfloat16')
    expect(losses).toHaveLength(STEPS)
    // Rounded more coarsely than float32: alike, but not the same.
    for (const [step, loss] of losses.entries())
      expect(Math.abs(loss / lossesOf('on-gpu')[step]! - 1)).toBeLessThan(1e-2)
    expect(losses).not.toEqual(lossesOf('on-gpu'))
    expect(losses.at(-1)).toBeLessThan(losses[0]!)
    expect(leavesOf(loadModel(model!).weights).every(({ dtype }) => dtype === 'float32')).toBe(true)
  })
})
