// Hugging Face folders: what is recorded loads, what is saved loads back, what is broken is said whole.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError, FormatError, readSafetensors, scope, tensor, writeSafetensors } from '@hearth/torch'
import { afterAll, describe, expect, test } from 'vitest'
import { fixture, recordedTensors, relativeDistance } from '../../../test/recorded.js'
import { Tokenizer, trainByteLevelBpe } from '../../data/index.js'
import { createModel, logits, type LanguageModel } from '../../models/index.js'
import { flattenTree } from '../../tree/index.js'
import { loadModel, saveModel } from '../index.js'

const root = mkdtempSync(join(tmpdir(), 'hearth-formats-'))
afterAll(() => rmSync(root, { recursive: true }))
let made = 0
const fresh = () => join(root, `folder-${made++}`)
const copyOf = (name: string) => {
  const folder = fresh()
  cpSync(fixture(`models/${name}`), folder, { recursive: true })
  return folder
}
const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), 'utf8')) as Record<string, unknown>
const values = (model: LanguageModel) =>
  Object.fromEntries(Object.entries(flattenTree(model.weights)).map(([path, leaf]) => [path, leaf.toArray()]))

const conv1d = (name: string, inputs: number, outputs: number) => ({
  [`${name}.weight`]: [inputs, outputs],
  [`${name}.bias`]: [outputs],
})

/** A file of float32 zeros that takes no room on the disk. */
function writeZeros(path: string, shapes: Record<string, number[]>): void {
  let end = 0
  const header = Object.entries(shapes).map(([name, shape]) => {
    const begin = end
    end += 4 * shape.reduce((product, size) => product * size, 1)
    return [name, { dtype: 'F32', shape, data_offsets: [begin, end] }] as const
  })
  const text = JSON.stringify(Object.fromEntries(header))
  const padded = text.padEnd(Math.ceil(text.length / 8) * 8)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))
  writeFileSync(path, Buffer.concat([length, Buffer.from(padded)]))
  truncateSync(path, 8 + padded.length + end)
}

const RECORDED = [
  ...['gpt2', 'gpt3', 'gpt_neo', 'gptj', 'gpt_neox', 'gpt_neox_sequential'],
  ...['stablelm', 'stablelm_epoch', 'stablelm_alpha', 'llama', 'llama_gqa', 'mistral', 'mixtral', 'qwen2', 'qwen3'],
]

describe('loading', () => {
  test.each(RECORDED)('%s gives the logits that PyTorch gave', (name) => {
    const recorded = recordedTensors(`models/${name}.safetensors`)
    const output = logits(loadModel(fixture(`models/${name}`)), recorded.tensor('long.ids'))
    expect(relativeDistance(output, recorded.tensor('long.logits'))).toBeLessThan(1e-5)
  })

  test('costs no memory before weights are used', () => {
    const folder = fresh()
    mkdirSync(folder)
    const config = { model_type: 'gpt2', n_layer: 1, n_head: 1, n_embd: 256, n_positions: 8, vocab_size: 400_000 }
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
    writeZeros(join(folder, 'model.safetensors'), {
      'wte.weight': [400_000, 256], // 410 MB
      'wpe.weight': [8, 256],
      ...Object.fromEntries(
        ['h.0.ln_1', 'h.0.ln_2', 'ln_f'].flatMap((at) => [
          [`${at}.weight`, [256]],
          [`${at}.bias`, [256]],
        ]),
      ),
      ...conv1d('h.0.attn.c_attn', 256, 768),
      ...conv1d('h.0.attn.c_proj', 256, 256),
      ...conv1d('h.0.mlp.c_fc', 256, 1024),
      ...conv1d('h.0.mlp.c_proj', 1024, 256),
    })
    const before = process.memoryUsage.rss()
    const model = loadModel(folder)
    expect(flattenTree(model.weights)['embed.weight']!.shape).toEqual([400_000, 256])
    expect(process.memoryUsage.rss() - before).toBeLessThan(30e6)
  })

  test('weights stay valid when the file is gone', () => {
    const folder = copyOf('gpt2')
    const model = loadModel(folder)
    rmSync(folder, { recursive: true })
    expect(values(model)).toEqual(values(loadModel(fixture('models/gpt2'))))
  })

  test('writing to a loaded weight does not reach the file', () => {
    const folder = copyOf('llama')
    scope(() => flattenTree(loadModel(folder).weights)['norm.weight']!.fill_(9))
    expect(values(loadModel(folder))).toEqual(values(loadModel(fixture('models/llama'))))
  })

  test('another dtype can be asked for', () => {
    const model = loadModel(fixture('models/gpt_neox'), { dtype: 'bfloat16' })
    for (const leaf of Object.values(flattenTree(model.weights))) expect(leaf.dtype).toBe('bfloat16')
  })
})

describe('saving', () => {
  test.each(RECORDED)('%s comes back with the same bits, under the same names', async (name) => {
    const model = loadModel(fixture(`models/${name}`))
    const folder = fresh()
    await saveModel(folder, model)
    expect(readdirSync(folder).sort()).toEqual(['config.json', 'generation_config.json', 'model.safetensors'])
    const again = loadModel(folder)
    expect(again.config).toEqual(model.config)
    expect(values(again)).toEqual(values(model))
    const [written, original] = [join(folder, 'model.safetensors'), fixture(`models/${name}/model.safetensors`)].map(
      readSafetensors,
    )
    const shapes = (file: typeof written) =>
      [...file!.entries].map(([key, { shape, dtype }]) => [key, shape, dtype]).sort()
    expect(shapes(written)).toEqual(shapes(original))
    expect(written!.metadata).toEqual({ format: 'pt' })
  })

  test('configurations name the dtype for both generations of readers, and the tokens', async () => {
    const folder = fresh()
    await saveModel(folder, loadModel(fixture('models/llama_gqa')), { dtype: 'bfloat16' })
    expect(json(folder, 'config.json')).toMatchObject({
      torch_dtype: 'bfloat16',
      dtype: 'bfloat16',
      model_type: 'llama',
    })
    expect(json(folder, 'generation_config.json')).toMatchObject({ bos_token_id: 2, eos_token_id: [0, 1] })
    expect(flattenTree(loadModel(folder).weights)['norm.weight']!.dtype).toBe('bfloat16')
  })

  test('large models go into shards with an index, which load as one file does', async () => {
    const model = loadModel(fixture('models/gpt2'))
    const folder = fresh()
    await saveModel(folder, model, { maxShardBytes: 40_000 })
    const { metadata, weight_map } = json(folder, 'model.safetensors.index.json') as {
      metadata: { total_size: number }
      weight_map: Record<string, string>
    }
    expect(metadata.total_size).toBe(4 * 29_568)
    const shards = [...new Set(Object.values(weight_map))]
    expect(shards.length).toBeGreaterThan(2)
    for (const [index, shard] of shards.entries()) {
      expect(shard).toBe(`model-0000${index + 1}-of-0000${shards.length}.safetensors`)
      const bytes = [...readSafetensors(join(folder, shard)).entries.values()].reduce(
        (sum, { nbytes }) => sum + nbytes,
        0,
      )
      expect(bytes).toBeLessThanOrEqual(40_000)
    }
    expect(values(loadModel(folder))).toEqual(values(model))
  })

  test('a folder that exists gets the new weights, loses the old shards and keeps the rest', async () => {
    const folder = fresh()
    await saveModel(folder, loadModel(fixture('models/gpt2')), { maxShardBytes: 40_000 })
    writeFileSync(join(folder, 'README.md'), 'mine')
    const model = loadModel(folder)
    flattenTree(model.weights)['norm.bias']!.fill_(3)
    await saveModel(folder, model)
    expect(readdirSync(folder).sort()).toEqual([
      'README.md',
      'config.json',
      'generation_config.json',
      'model.safetensors',
    ])
    expect(values(loadModel(folder))).toEqual(values(model))
    expect(values(model)['norm.bias']).toEqual(Array(32).fill(3))
  })

  test('the tokenizer is saved with the model, and nothing is left when that fails', async () => {
    const model = createModel(
      {
        model_type: 'llama',
        vocab_size: 9,
        hidden_size: 8,
        num_attention_heads: 2,
        intermediate_size: 8,
        num_hidden_layers: 1,
      },
      { seed: 1 },
    )
    const folder = fresh()
    const tokenizer = await trainByteLevelBpe(['call me Ishmael'], { vocabSize: 257 })
    await saveModel(folder, model, { tokenizer })
    expect((await Tokenizer.load(folder)).encode('Ishmael')).toEqual(tokenizer.encode('Ishmael'))
    const failing = { save: async () => Promise.reject(new Error('disk full')) }
    const other = fresh()
    await expect(saveModel(other, model, { tokenizer: failing })).rejects.toThrow(
      /cannot save the model in .*: disk full/,
    )
    expect(existsSync(other)).toBe(false)
    expect(readdirSync(root).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })
})

describe('a folder that cannot be loaded', () => {
  const broken = (change: (folder: string) => void, name = 'gpt2') => {
    const folder = copyOf(name)
    change(folder)
    return () => loadModel(folder)
  }
  const setConfig = (folder: string, change: object) =>
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...json(folder, 'config.json'), ...change }))

  test('that does not exist is named', () => {
    expect(() => loadModel(join(root, 'nowhere'))).toThrow(/nowhere: there is no such folder/)
  })

  test('with nothing in it lists all that is missing', () => {
    const load = broken((folder) => ['config.json', 'model.safetensors'].forEach((name) => rmSync(join(folder, name))))
    expect(load).toThrow(FormatError)
    expect(load).toThrow(
      /2 problems\n {2}config.json is missing\n {2}model.safetensors \(or .*index.json, or pytorch_model.bin\) is missing/,
    )
  })

  test('with pickled weights that are malformed says what is wrong with them', () => {
    const load = broken((folder) => {
      rmSync(join(folder, 'model.safetensors'))
      writeFileSync(join(folder, 'pytorch_model.bin'), 'weights')
    })
    expect(load).toThrow(/1 problem\n {2}.*pytorch_model.bin is not a file of torch.save: got another beginning/)
  })

  test('with a wrong configuration gives its issues', () => {
    const load = broken((folder) => setConfig(folder, { n_head: 5, activation_function: 'maxout' }))
    expect(load).toThrow(ConfigError)
    expect(load).toThrow(
      /config\.json: 2 problems\n {2}n_embd: 32 cannot be divided by n_head \(5\)\n {2}activation_function/,
    )
  })

  test('with a wrong configuration and a truncated file says both', () => {
    const load = broken((folder) => {
      setConfig(folder, { n_head: 5 })
      const path = join(folder, 'model.safetensors')
      writeFileSync(path, readFileSync(path).subarray(0, -4))
    })
    expect(load).toThrow(
      /2 problems\n {2}config.json: n_embd: .*\n {2}.*model.safetensors is not a valid safetensors file/,
    )
  })

  test('with a config.json that is not JSON says so', () => {
    expect(broken((folder) => writeFileSync(join(folder, 'config.json'), '{'))).toThrow(/config.json cannot be read: /)
  })

  test('with tensors of other shapes names them and their file', () => {
    const load = broken((folder) => setConfig(folder, { n_positions: 64, n_layer: 3 }))
    expect(load).toThrow(
      /13 problems\n {2}transformer.wpe.weight in model.safetensors: got shape \[32, 32\], expected \[64, 32\]/,
    )
    expect(load).toThrow(/missing transformer.h.2.attn.c_attn.weight, expected \[32, 96\]/)
  })

  test('with shards missing names each', async () => {
    const folder = fresh()
    await saveModel(folder, loadModel(fixture('models/gpt2')), { maxShardBytes: 40_000 })
    const shards = readdirSync(folder).filter((name) => name.includes('-of-'))
    rmSync(join(folder, shards[0]!))
    rmSync(join(folder, shards[2]!))
    expect(() => loadModel(folder)).toThrow(
      new RegExp(`2 problems\n  ${shards[0]} is missing.*\n  ${shards[2]} is missing`),
    )
  })

  test('with an index that leads out of the folder is refused', () => {
    const load = broken((folder) => {
      rmSync(join(folder, 'model.safetensors'))
      writeSafetensors(join(root, 'outside.safetensors'), { x: tensor([1]) })
      writeFileSync(
        join(folder, 'model.safetensors.index.json'),
        JSON.stringify({ weight_map: { x: '../outside.safetensors' } }),
      )
    })
    expect(load).toThrow(/index.json: weight_map.x: /)
  })
})
