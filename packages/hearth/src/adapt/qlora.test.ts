// Adapters on bases in codes: what is trained is trained on what the codes stand for, and so is what is merged.
import { backward, call, noGrad, randn, scope, tensor, Generator, type Tensor } from '@hearth/torch'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { loadModel, openModelSource, saveGguf, saveModel } from '../formats/index.js'
import { createModel, logits, type LanguageModel } from '../models/index.js'
import { floatWeight } from '../nn/index.js'
import { flattenTree, walkTree } from '../tree/index.js'
import { attachAdapter, compareLogits, createAdapter, linearModules, mergeAdapter, type Adapter } from './index.js'
import { mapLinear } from './lora.js'

const folder = mkdtempSync(join(tmpdir(), 'hearth-qlora-'))
afterAll(() => rmSync(folder, { recursive: true }))

const SIZES = { vocab_size: 96, hidden_size: 48, num_hidden_layers: 2, max_position_embeddings: 32 }
const CONFIGS = {
  llama: { model_type: 'llama', ...SIZES, intermediate_size: 72, num_attention_heads: 4, num_key_value_heads: 2 },
  gpt2: { model_type: 'gpt2', vocab_size: 96, n_embd: 48, n_layer: 2, n_head: 4, n_positions: 32 },
}
type Name = keyof typeof CONFIGS
const IDS = [44, 49, 78, 26, 14, 3, 90, 1]
const ids = () => tensor([IDS], { dtype: 'int64' })

async function folderOf(name: Name): Promise<string> {
  const path = join(folder, name)
  await saveModel(path, createModel(CONFIGS[name], { seed: 3 }))
  return path
}

/** Every layer's codes as floats of their own: what the small model computes, made the plain way. */
function inFloats(model: LanguageModel): LanguageModel {
  return {
    ...model,
    weights: mapLinear(model.weights, ({ base, ...layer }) =>
      base === undefined ? layer : { ...layer, weight: floatWeight({ ...layer, base }, 'float32') },
    ),
  }
}

function busy(model: LanguageModel, settings: Parameters<typeof createAdapter>[1] = {}): Adapter {
  const adapter = createAdapter(model, { targets: 'all-linear', ...settings }, { seed: 1 })
  noGrad(() =>
    walkTree(adapter.weights, (leaf, path) => {
      if (!path.endsWith('.magnitude'))
        leaf.copy_(randn(leaf.shape, { generator: new Generator(path.length) }).mul(0.1))
    }),
  )
  return adapter
}

test.each([
  ['llama', 'nf4'],
  ['llama', 'int8'],
  ['gpt2', 'nf4'],
] as const)(
  'a %s loaded into %s says what its codes stand for, and its adapter has the same gradients',
  async (name, base) => {
    const path = await folderOf(name)
    scope(() => {
      const model = loadModel(path, { dtype: 'float32', base })
      const wide = inFloats(model)
      expect(linearModules(model).map(({ outputs, inputs }) => [outputs, inputs])).toEqual(
        linearModules(loadModel(path)).map(({ weights }) => weights.weight.shape),
      )
      const adapter = busy(model)
      const leaves = flattenTree(adapter.weights)
      Object.values(leaves).forEach((leaf) => leaf.setRequiresGrad(true))
      const run = (on: LanguageModel) => {
        const said = logits(attachAdapter(on, adapter), ids())
        backward(said.square().sum())
        const gradients = Object.values(leaves).map((leaf) => leaf.grad!)
        for (const leaf of Object.values(leaves)) leaf.grad = undefined
        return [said.detach(), ...gradients]
      }
      const want = run(wide)
      for (const [i, got] of run(model).entries())
        expect(got.sub(want[i]!).abs().max().item() / want[i]!.abs().max().item()).toBeLessThan(1e-4)
      // And it is not the model that was loaded.
      expect(compareLogits(loadModel(path), model, IDS).relative).toBeGreaterThan(1e-3)
    })
  },
)

test.each([{}, { dora: true }])('merging makes floats of the base that was trained on %o', async (settings) => {
  const model = loadModel(await folderOf('llama'), { dtype: 'float32', base: 'nf4' })
  const adapter = busy(model, { ...settings, targets: ['q_proj', 'down_proj'] })
  const merged = mergeAdapter(model, adapter)
  expect(compareLogits(attachAdapter(model, adapter), merged, IDS).relative).toBeLessThan(1e-5)
  expect(Object.keys(flattenTree(merged.weights))).toEqual(
    Object.keys(flattenTree(loadModel(await folderOf('llama')).weights)),
  )
})

test('the same codes come from safetensors and from GGUF', async () => {
  const path = await folderOf('llama')
  const file = join(folder, 'llama.gguf')
  await saveGguf(file, openModelSource(path))
  const codes = (from: string): Tensor[] =>
    linearModules(loadModel(from, { base: 'nf4' })).map(({ weights }) => weights.weight)
  const [first, second] = [codes(path), codes(file)]
  for (const [i, each] of first.entries()) expect(call('aten::equal', each, second[i]!)).toBe(true)
})
