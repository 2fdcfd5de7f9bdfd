import { backward, noGrad, randn, scope, tensor, Generator, type Tensor } from '@hearth/torch'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { families, logits, type LanguageModel } from '../models/index.js'
import { flattenTree, walkTree } from '../tree/index.js'
import { recordedModel } from '../../test/recorded-models.js'
import {
  attachAdapter,
  compareLogits,
  createAdapter,
  linearModules,
  loadAdapter,
  mergeAdapter,
  saveAdapter,
  type Adapter,
} from './index.js'

const folder = mkdtempSync(join(tmpdir(), 'hearth-lora-'))
afterAll(() => rmSync(folder, { recursive: true }))

const llama = () => recordedModel(families.llama!, 'llama')
const IDS = [44, 49, 78, 26, 14, 3, 90, 1]
const ids = (): Tensor => tensor([IDS], { dtype: 'int64' })

/** An adapter whose every matrix counts. */
function busy(model: LanguageModel, settings: Parameters<typeof createAdapter>[1], seed = 1): Adapter {
  const adapter = createAdapter(model, { targets: 'all-linear', ...settings }, { seed })
  noGrad(() =>
    walkTree(adapter.weights, (leaf, path) => {
      const noise = randn(leaf.shape, { generator: new Generator(seed + path.length) }).mul(0.1)
      if (!path.endsWith('.magnitude')) leaf.copy_(noise)
      else leaf.mul_(noise.abs().add(0.9))
    }),
  )
  return adapter
}

const values = (x: Tensor) => x.toArray()
const largest = (a: number[], b: number[]) => Math.max(...a.map((value, i) => Math.abs(value - b[i]!)))

/** W + s B A as the papers write it, in float64. */
function changed(adapter: Adapter, path: string, weight: Tensor): Tensor {
  const { a, b, magnitude } = adapter.weights[path]!
  const sum = weight.to('float64').add(b.to('float64').matmul(a.to('float64')).mul(adapter.scales[path]!))
  if (magnitude === undefined) return sum.to('float32')
  const lengths = sum.square().sum([1]).sqrt().detach()
  return sum.mul(magnitude.to('float64').div(lengths).unsqueeze(1)).to('float32')
}

/** The model over weights that were changed one by one. */
function byHand(model: LanguageModel, adapter: Adapter): LanguageModel {
  const flat = flattenTree(model.weights)
  const weightOf = (path: string): Tensor => {
    const layer = path.replace(/\.weight$/, '')
    return layer !== path && layer in adapter.weights ? changed(adapter, layer, flat[path]!) : flat[path]!
  }
  return { ...model, weights: model.family.build(model.config, { tensor: weightOf }) }
}

describe.each([
  ['LoRA', {}],
  ['rank-stabilised LoRA', { rsLora: true, rank: 4, alpha: 6 }],
  ['DoRA', { dora: true, rank: 3 }],
  ['LoRA with patterns', { rank: 2, rankPattern: { q_proj: 5 }, alphaPattern: { 'layers\\.1\\..*': 3 } }],
] as const)('%s', (_, settings) => {
  test.each(Object.keys(families).filter((name) => ['llama', 'gpt2', 'gpt_neox'].includes(name)))(
    'changes nothing of a %s when new, and what its formula says when trained',
    (name) => {
      scope(() => {
        const model = recordedModel(families[name]!, name)
        const before = values(logits(model, ids()))
        const fresh = createAdapter(
          model,
          { targets: 'all-linear', ...('rankPattern' in settings ? {} : settings) },
          { seed: 1 },
        )
        expect(largest(values(logits(attachAdapter(model, fresh), ids())), before)).toBeLessThan(1e-5)
        const adapter = busy(model, 'rankPattern' in settings && name !== 'llama' ? { rank: 2 } : settings)
        const worn = values(logits(attachAdapter(model, adapter), ids()))
        expect(largest(worn, before)).toBeGreaterThan(0.01)
        expect(largest(worn, values(logits(byHand(model, adapter), ids())))).toBeLessThan(1e-4)
      })
    },
  )

  test('has the gradients of the formula, with the lengths of rows as constants', () => {
    scope(() => {
      const model = llama()
      const adapter = busy(model, settings)
      const leaves = flattenTree(adapter.weights)
      const gradients = (worn: LanguageModel) => {
        backward(logits(worn, ids()).square().sum())
        return Object.entries(leaves).map(([path, leaf]) => {
          const values = leaf.grad!.toArray()
          leaf.grad = undefined
          return { path, values }
        })
      }
      Object.values(leaves).forEach((leaf) => leaf.setRequiresGrad(true))
      const want = gradients(byHand(model, adapter))
      for (const [i, { path, values }] of gradients(attachAdapter(model, adapter)).entries()) {
        const scale = Math.max(...want[i]!.values.map(Math.abs))
        expect(largest(values, want[i]!.values) / scale, path).toBeLessThan(1e-4)
      }
    })
  })

  test('comes back from a PEFT folder with the same numbers, and says the same when it is merged', async () => {
    const model = llama()
    const adapter = busy(model, settings)
    await saveAdapter(folder, model, adapter, { base: 'somewhere' })
    const read = loadAdapter(folder, model)
    const flat = (weights: unknown) =>
      Object.entries(flattenTree(weights)).map(([path, leaf]) => [path, leaf.toArray()])
    expect(flat(read.weights).sort()).toEqual(flat(adapter.weights).sort())
    expect(read.scales).toEqual(adapter.scales)
    const merged = mergeAdapter(model, read)
    const change = compareLogits(attachAdapter(model, read), merged, IDS)
    expect(change.relative).toBeLessThan(1e-5)
    expect(change.changedTokens).toBe(0)
    expect(compareLogits(model, merged, IDS).largest).toBeGreaterThan(0.01)
  })
})

test('several adapters share one base: each says its own, and the base is as before', () => {
  scope(() => {
    const model = llama()
    const before = values(logits(model, ids()))
    const [one, two] = [busy(model, {}, 1), busy(model, { rank: 2 }, 2)]
    const said = [one, two, one].map((adapter) => values(logits(attachAdapter(model, adapter), ids())))
    expect(said[2]).toEqual(said[0])
    expect(largest(said[0]!, said[1]!)).toBeGreaterThan(0.01)
    expect(values(logits(model, ids()))).toEqual(before)
    const [base, worn] = [model, attachAdapter(model, one)].map(({ weights }) => flattenTree(weights))
    for (const [path, leaf] of Object.entries(base!)) expect(worn![path]).toBe(leaf)
  })
})

test('dropout is a function of its seed, and there is none outside of training', () => {
  scope(() => {
    const model = llama()
    const adapter = busy(model, { dropout: 0.5 })
    const said = (dropoutSeed?: number) =>
      values(logits(attachAdapter(model, adapter, dropoutSeed === undefined ? {} : { dropoutSeed }), ids()))
    expect(said(7)).toEqual(said(7))
    expect(largest(said(7), said(8))).toBeGreaterThan(1e-3)
    expect(said()).toEqual(values(logits(attachAdapter(model, busy(model, {})), ids())))
  })
})

test('targets are the ends of names, an expression, or all; what names nothing is refused with what there is', () => {
  const model = llama()
  const paths = (targets: string | string[]) => Object.keys(createAdapter(model, { targets }, { seed: 1 }).weights)
  expect(paths(['q_proj', 'attention.out'])).toEqual(
    [0, 1].flatMap((n) => [`blocks.${n}.attention.query`, `blocks.${n}.attention.out`]),
  )
  expect(paths('.*layers\\.1\\.mlp\\..*')).toHaveLength(3)
  expect(paths('all-linear')).toEqual(linearModules(model).map(({ path }) => path))
  expect(() => paths(['q_prj', 'v_proj'])).toThrow(/targets\.0.*"q_prj" names no linear layer; did you mean "q_proj"\?/)
  expect(() => paths('(')).toThrow(/is no regular expression/)
  expect(() => createAdapter(model, { rank: 0, dropout: 1 }, { seed: 1 })).toThrow(/rank.*dropout/s)
})
