// GGUF files: what is written comes back with the same bytes; what breaks a rule is refused with words that say what.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { call, ConfigError, FormatError, Generator, ones, tensor, zeros, type Tensor } from '@hearth/torch'
import { afterAll, describe, expect, test } from 'vitest'
import { fixture } from '../../../test/recorded.js'
import { createModel } from '../../models/index.js'
import { flattenTree } from '../../tree/index.js'
import { loadModel, openModelSource, saveModel } from '../index.js'
import { weightsOf } from '../source.js'
import { readGguf } from './gguf-file.js'
import { saveGguf } from './save-gguf.js'
import { array, float32, string, uint32, type TypedValue } from './values.js'
import { writeGguf, type GgufTensor } from './write.js'

const root = mkdtempSync(join(tmpdir(), 'hearth-gguf-'))
afterAll(() => rmSync(root, { recursive: true }))
const path = join(root, 'model.gguf')
const bytesOf = (x: Tensor) => Buffer.from(new Uint8Array(x.contiguous().view([-1]).data().slice().buffer))

const RECORDED = ['gpt2', 'llama', 'llama_gqa', 'gpt_neox', 'gpt_neox_sequential']

describe('a model', () => {
  test.each(RECORDED)('%s comes back from F32 with the bytes of every tensor', async (name) => {
    const source = openModelSource(fixture(`models/${name}`))
    await saveGguf(path, source)
    const back = openModelSource(path)
    const [expected, got] = [weightsOf(source), weightsOf(back)]
    expect([...got.keys()].sort()).toEqual([...expected.keys()].sort())
    for (const [key, stored] of expected)
      expect(bytesOf(got.get(key)!.read()).equals(bytesOf(stored.read())), key).toBe(true)
    // What the architecture has no key for: how weights start, what is forgotten in training, tokens of a folder without a tokenizer.
    const lost = /initializer_range|head_dim|token_id|dropout|pdrop/
    const config = (one: typeof source) =>
      Object.fromEntries(Object.entries(one.family.toConfig(one.config)).filter(([key]) => !lost.test(key)))
    expect(JSON.stringify(config(back), rounded)).toBe(JSON.stringify(config(source), rounded))
    source.close()
    back.close()
  })

  test('through GGUF and back into a folder has the same file of weights', async () => {
    await saveGguf(path, openModelSource(fixture('models/gpt_neox')))
    const [direct, around] = [join(root, 'direct'), join(root, 'around')]
    await saveModel(direct, loadModel(fixture('models/gpt_neox')))
    await saveModel(around, loadModel(path))
    const [a, b] = [direct, around].map((folder) => readFileSync(join(folder, 'model.safetensors')))
    expect(a!.equals(b!)).toBe(true)
  })

  test('that llama.cpp computes otherwise is refused, with everything that differs', async () => {
    const folder = join(root, 'other')
    const config = {
      model_type: 'gpt2',
      n_embd: 8,
      n_head: 2,
      n_layer: 1,
      n_positions: 8,
      vocab_size: 9,
      activation_function: 'relu',
      scale_attn_by_inverse_layer_idx: true,
    }
    await saveModel(folder, createModel(config, { seed: 1 }))
    const save = saveGguf(path, openModelSource(folder))
    await expect(save).rejects.toThrow(ConfigError)
    await expect(save).rejects.toThrow(
      /2 problems\n {2}activation_function: "relu".*\n {2}scale_attn_by_inverse_layer_idx/,
    )
  })

  test('that is quantised keeps norms, and rows that do not fill blocks, in wider types', async () => {
    const types = await saveGguf(path, openModelSource(fixture('models/gpt2')), { type: 'Q4_K' })
    expect(types.get('blk.0.attn_norm.weight')).toBe('F32')
    expect(types.get('position_embd.weight')).toBe('F32')
    expect(types.get('blk.0.ffn_up.weight')).toBe('Q8_0') // rows of 32
    const [original, quantised] = [fixture('models/gpt2'), path].map((one) => flattenTree(loadModel(one).weights))
    for (const [key, leaf] of Object.entries(original!)) {
      const off = quantised![key]!.sub(leaf).abs().max().item()
      expect(off, key).toBeLessThanOrEqual(leaf.abs().max().item() / 200)
    }
  })
})

/** float32 has 7 digits of what JSON wrote with more. */
const rounded = (_: string, value: unknown) => (typeof value === 'number' ? Number(value.toPrecision(6)) : value)

describe('blocks', () => {
  // Root mean square of the error for numbers of a normal distribution; a grid of as many levels could not do better by half.
  test.each([
    ['Q8_0', 0.006],
    ['Q6_K', 0.02],
    ['Q4_K', 0.075],
    ['Q4_0', 0.1],
  ])('of %s are as near as their bits allow', (type, bar) => {
    const numbers = tensor(new Float32Array(2 ** 16)).normal_({ generator: new Generator(1) })
    const back = call('hearth::decode_blocks', call('hearth::encode_blocks', numbers, type), type) as Tensor
    expect(Math.sqrt(back.sub(numbers).square().mean().item())).toBeLessThan(bar)
  })

  test.each(['Q8_0', 'Q6_K', 'Q4_K', 'Q4_0'])(
    'of %s keep zeros, and what is not a number spoils no neighbour block',
    (type) => {
      const numbers = ones([512])
      numbers.narrow(0, 256, 256).zero_()
      numbers.narrow(0, 0, 1).fill_(NaN)
      const back = (
        call('hearth::decode_blocks', call('hearth::encode_blocks', numbers, type), type) as Tensor
      ).toArray()
      expect(back.slice(256).every((one) => one === 0)).toBe(true)
    },
  )

  test('of Q8_K are d times each byte', () => {
    const block = new Uint8Array(292)
    new DataView(block.buffer).setFloat32(0, 0.5, true)
    block.set([1, 0xff, 127], 4)
    const numbers = (call('hearth::decode_blocks', tensor(block), 'Q8_K') as Tensor).toArray()
    expect(numbers.slice(0, 4)).toEqual([0.5, -0.5, 63.5, 0])
  })

  test('that are cut, of another dtype or unknown are refused', () => {
    expect(() => call('hearth::decode_blocks', tensor(new Uint8Array(17)), 'Q4_0')).toThrow(/n · 18/)
    expect(() => call('hearth::encode_blocks', zeros([31]), 'Q4_0')).toThrow(/a multiple of 32/)
    expect(() => call('hearth::encode_blocks', zeros([256]), 'Q2_K')).toThrow(/only read/)
    expect(() => call('hearth::decode_blocks', tensor(new Uint8Array(18)), 'IQ1_S')).toThrow(/no format of blocks/)
  })
})

const two = (): GgufTensor[] =>
  ['a', 'b'].map((name) => ({ name, shape: [2, 32], type: 'F32', read: () => zeros([2, 32]) }))
const metadata: Record<string, TypedValue> = {
  'general.architecture': string('llama'),
  x: array('string', ['one', 'two']),
}

/** A small file, changed. */
function changed(change: (file: Buffer) => Buffer | undefined) {
  writeGguf(path, metadata, two())
  const file = readFileSync(path)
  writeFileSync(path, change(file) ?? file)
  return () => readGguf(path).close()
}

const at = (file: Buffer, text: string) => file.indexOf(Buffer.from(text))

describe('a file', () => {
  test('has its metadata and its tensors, aligned', () => {
    writeGguf(path, { ...metadata, n: uint32(7), f: float32(0.5) }, two())
    using file = readGguf(path)
    expect([...file.metadata.keys()]).toEqual(['general.architecture', 'x', 'n', 'f'])
    expect(file.metadata.get('n')).toBe(7)
    const list = file.metadata.get('x')
    expect(typeof list === 'object' && list.items()).toEqual(['one', 'two'])
    for (const { byteOffset } of file.entries.values()) expect(byteOffset % 32).toBe(0)
  })

  test.each<[string, (file: Buffer) => Buffer | undefined, RegExp]>([
    ['another beginning', (file) => void file.write('GGML'), /the first bytes/],
    ['version 1', (file) => void file.writeUInt32LE(1, 4), /version: got 1, expected 2 or 3/],
    ['big-endian numbers', (file) => void file.writeUInt32BE(3, 4), /big-endian/],
    ['2^60 tensors', (file) => void file.writeBigUInt64LE(2n ** 60n, 8), /the number of tensors/],
    ['more tensors than there is room for', (file) => void file.writeBigUInt64LE(100n, 8), /the number of tensors/],
    ['2^64 - 1 keys', (file) => void file.writeBigUInt64LE(2n ** 64n - 1n, 16), /the number of keys/],
    ['a key of 2^40 bytes', (file) => void file.writeBigUInt64LE(2n ** 40n, 24), /the length of a string/],
    [
      'an unknown type of value',
      (file) => void file.writeUInt32LE(13, at(file, 'architecture') + 12),
      /a type that is unknown/,
    ],
    ['an array of arrays', (file) => void file.writeUInt32LE(9, at(file, 'x\x09') + 5), /an array of arrays/],
    ['a list of 2^50', (file) => void file.writeBigUInt64LE(2n ** 50n, at(file, 'x\x09') + 9), /the length of "x"/],
    ['an unknown type of tensor', (file) => void file.writeUInt32LE(99, at(file, 'a\x02') + 21), /type 99/],
    ['9 dimensions', (file) => void file.writeUInt32LE(9, at(file, 'a\x02') + 1), /9 dimensions/],
    ['a size of 0', (file) => void file.writeBigUInt64LE(0n, at(file, 'a\x02') + 5), /sizes \[0, 2\]/],
    ['a size of 2^62', (file) => void file.writeBigUInt64LE(2n ** 62n, at(file, 'a\x02') + 5), /below 2\^53/],
    [
      'rows that do not fill blocks',
      (file) => void (file.writeBigUInt64LE(8n, at(file, 'a\x02') + 5), file.writeUInt32LE(8, at(file, 'a\x02') + 21)),
      /a multiple of 32/,
    ],
    ['a tensor elsewhere', (file) => void file.writeBigUInt64LE(32n, at(file, 'a\x02') + 25), /an offset of 32/],
    ['the same name twice', (file) => void file.write('a', at(file, 'b\x02')), /its name twice/],
    ['an end in its numbers', (file) => file.subarray(0, -1), /256 bytes at/],
    ['an end in its head', (file) => file.subarray(0, 60), /got/],
    ['nothing', () => Buffer.alloc(0), /0 bytes more/],
  ])('with %s is refused', (_, change, words) => {
    const read = changed(change)
    expect(read).toThrow(FormatError)
    expect(read).toThrow(words)
  })

  test('of an unknown architecture, or with missing keys, says all that is wrong', () => {
    writeGguf(path, { 'general.architecture': string('gptj') }, two())
    expect(() => loadModel(path)).toThrow(/"gptj" is not an architecture that Hearth knows; known are llama/)
    writeGguf(path, { 'general.architecture': string('gptneox') }, two())
    expect(() => loadModel(path)).toThrow(
      /gptneox.embedding_length: is missing.*\n.*gptneox.attention.head_count: is missing/,
    )
  })
})
