// The tests that every family passes against a model that PyTorch recorded (fixtures/README.md): the same for each, so
// that a new family is one call.
import { backward, noGrad, readSafetensors, scope, tensor, type DType, type Tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import {
  fileName,
  keyValueCacheOf,
  loadWeights,
  logits,
  type Family,
  type LanguageModel,
  type StoredTensor,
} from '../src/models/index.js'
import { crossEntropy } from '../src/nn/index.js'
import { adamw, clipScale, gradientNorm } from '../src/optim/index.js'
import { flattenTree } from '../src/tree/index.js'
import { fixture, recordedJson, recordedTensors, relativeDistance, TOLERANCE } from './recorded.js'

interface Numbers {
  loss: number
  lossBfloat16: number
}

interface Recording {
  parameters: number
  long: Numbers
  short: Numbers
  zeroGradientRows: Record<string, [start: number, end: number][]>
  training: {
    learningRate: number
    betas: [number, number]
    eps: number
    weightDecay: number
    maxGradientNorm: number
    steps: { loss: number; gradientNorm: number }[]
  }
  generation: { prompt: number[]; tokens: number[] }
}

/** The folder models/<name> of the fixtures as a model of the family. */
export function recordedModel(family: Family, name: string, dtype?: DType): LanguageModel {
  const config = family.parseConfig(recordedJson(`models/${name}/config.json`))
  const file = readSafetensors(fixture(`models/${name}/model.safetensors`))
  const stored = new Map<string, StoredTensor>(
    [...file.entries].map(([key, { shape, dtype }]) => [
      key,
      { shape, dtype, file: file.path, read: () => file.tensor(key) },
    ]),
  )
  return { family, config, weights: loadWeights(family, config, stored, { dtype }) }
}

/** Without the rows whose gradient is only rounding. */
function withoutRows(x: Tensor, ranges: readonly (readonly [number, number])[] = []): Tensor {
  const rows = [...Array(x.shape[0]).keys()].filter((row) => !ranges.some(([start, end]) => row >= start && row < end))
  return x.indexSelect(0, tensor(rows, { dtype: 'int64' }))
}

const ids = (tokens: readonly number[]) => tensor([[...tokens]], { dtype: 'int64' })

/** Declares the tests of one recorded model. */
export function describeRecording(family: Family, name: string): void {
  describe(`${name} as PyTorch recorded it`, () => {
    const recording = recordedJson<Recording>(`models/${name}.json`)
    const file = recordedTensors(`models/${name}.safetensors`)

    /** Weights by path, marked for autograd, with their gradients as the file stores them. */
    const leavesOf = (model: LanguageModel) =>
      Object.entries(flattenTree(model.weights)).map(([path, leaf]) => {
        const { name: stored, transpose } = fileName(family.names, path)
        return { path, stored, asStored: (x: Tensor) => (transpose ? x.t() : x), leaf: leaf.setRequiresGrad(true) }
      })

    test('has as many parameters', () => {
      expect(family.shape(family.parseConfig(recordedJson(`models/${name}/config.json`))).parameters).toBe(
        recording.parameters,
      )
    })

    test.each(['long', 'short'] as const)(
      'gives the logits, loss and gradients of the %s batch in float32',
      (batch) => {
        const model = recordedModel(family, name)
        const leaves = leavesOf(model)
        const output = logits(model, file.tensor(`${batch}.ids`))
        expect(relativeDistance(output.detach(), file.tensor(`${batch}.logits`))).toBeLessThan(TOLERANCE.float32)
        const loss = crossEntropy(output, file.tensor(`${batch}.targets`))
        expect(Math.abs(loss.item() / recording[batch].loss - 1)).toBeLessThan(TOLERANCE.float32)
        if (batch === 'short') return // its gradients are not recorded
        backward(loss)
        for (const { stored, asStored, leaf } of leaves) {
          const distance = relativeDistance(asStored(leaf.grad!), file.tensor(`long.gradient.${stored}`))
          expect(distance, stored).toBeLessThan(TOLERANCE.float32)
        }
      },
    )

    test.each(['long', 'short'] as const)('gives the logits and the loss of the %s batch in bfloat16', (batch) => {
      const model = recordedModel(family, name, 'bfloat16')
      const output = logits(model, file.tensor(`${batch}.ids`))
      expect(output.dtype).toBe('bfloat16')
      expect(relativeDistance(output, file.tensor(`${batch}.logits.bfloat16`))).toBeLessThan(TOLERANCE.bfloat16)
      const loss = crossEntropy(output, file.tensor(`${batch}.targets`)).item()
      expect(Math.abs(loss / recording[batch].lossBfloat16 - 1)).toBeLessThan(TOLERANCE.bfloat16)
    })

    test('gives the losses, gradient norms and weights of ten AdamW steps', () => {
      const { steps, learningRate, maxGradientNorm, ...settings } = recording.training
      const model = recordedModel(family, name)
      const leaves = leavesOf(model)
      const weights = Object.fromEntries(leaves.map(({ path, leaf }) => [path, leaf]))
      const optimizer = adamw(settings)
      const state = optimizer.init(weights)
      for (const [step, expected] of steps.entries())
        scope(() => {
          const loss = crossEntropy(
            logits(model, file.tensor('train.ids').select(0, step)),
            file.tensor('train.targets').select(0, step),
          )
          expect(Math.abs(loss.item() / expected.loss - 1), `loss of step ${step}`).toBeLessThan(TOLERANCE.float32)
          backward(loss)
          const gradients = Object.fromEntries(leaves.map(({ path, leaf }) => [path, leaf.grad!]))
          const norm = gradientNorm(gradients)
          expect(Math.abs(norm / expected.gradientNorm - 1), `norm of step ${step}`).toBeLessThan(TOLERANCE.float32)
          const gradientScale = clipScale(norm, maxGradientNorm)
          noGrad(() => optimizer.update({ weights, gradients, state, step, learningRate, gradientScale }))
          for (const { leaf } of leaves) leaf.grad = undefined
        })
      for (const { stored, asStored, leaf } of leaves) {
        const rows = recording.zeroGradientRows[stored]
        const [got, expected] = [asStored(leaf.detach()), file.tensor(`final.${stored}`)]
        expect(relativeDistance(withoutRows(got, rows), withoutRows(expected, rows)), stored).toBeLessThan(1e-5)
      }
    })

    test('continues the prompt with the same tokens, one at a time from the cache', () => {
      const { prompt, tokens } = recording.generation
      const model = recordedModel(family, name)
      using cache = keyValueCacheOf(model, { capacity: prompt.length + tokens.length })
      const next = (read: readonly number[]) => logits(model, ids(read), { cache, lastOnly: true }).argmax().item()
      const written = [next(prompt)]
      while (written.length < tokens.length) written.push(next(written.slice(-1)))
      expect(written).toEqual(tokens)
    })

    test('reads a text in pieces through the cache as it does at once', () => {
      const model = recordedModel(family, name)
      const text = file.tensor('long.ids')
      const whole = logits(model, text)
      using cache = keyValueCacheOf(model, { batch: 2, capacity: 16 })
      let start = 0
      for (const count of [1, 6, 1, 8]) {
        const piece = logits(model, text.narrow(1, start, count), { cache })
        expect(relativeDistance(piece, whole.narrow(1, start, count)), `from ${start}`).toBeLessThan(1e-5)
        start += count
      }
      cache.truncate(5)
      const again = logits(model, text.narrow(1, 5, 3), { cache, lastOnly: true })
      expect(relativeDistance(again, whole.narrow(1, 7, 1))).toBeLessThan(1e-5)
    })
  })
}
