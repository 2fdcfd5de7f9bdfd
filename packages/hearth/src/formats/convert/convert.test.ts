// Conversions prove themselves: what is written runs as the original does, or is not there.
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError, HearthError, memoryStats, tensor } from '@hearth/torch'
import { afterAll, describe, expect, test } from 'vitest'
import { fixture } from '../../../test/recorded.js'
import { trainByteLevelBpe } from '../../data/index.js'
import { createModel, logits } from '../../models/index.js'
import { convertModel, loadModel, loadTokenizer, openModelSource, saveModel } from '../index.js'
import { streamedWeights } from './streamed-weights.js'

const root = mkdtempSync(join(tmpdir(), 'hearth-convert-'))
afterAll(() => rmSync(root, { recursive: true }))
const RECORDED = ['gpt2', 'llama', 'llama_gqa', 'gpt_neox', 'gpt_neox_sequential']

describe('a conversion', () => {
  test.each(RECORDED)('of %s to GGUF and back changes no logit', async (name) => {
    const [gguf, folder] = [join(root, `${name}.gguf`), join(root, name)]
    const there = await convertModel(fixture(`models/${name}`), gguf, { to: 'gguf' })
    expect(there).toMatchObject({ largest: 0, tokens: 32, sameChoice: 32 })
    const back = await convertModel(gguf, folder, { to: 'hf' })
    expect(back.largest).toBe(0)
    const ids = tensor([[1, 2, 3, 40]], { dtype: 'int64' })
    expect(logits(loadModel(folder), ids).toArray()).toEqual(
      logits(loadModel(fixture(`models/${name}`)), ids).toArray(),
    )
  })

  test('of pickled shards to narrower safetensors says how much it rounded, and keeps the tokenizer', async () => {
    const tokenizer = await trainByteLevelBpe(['call me'], { vocabSize: 260 })
    const from = join(root, 'speaking')
    await saveModel(
      from,
      createModel(
        { model_type: 'gpt2', n_embd: 32, n_layer: 1, n_head: 2, vocab_size: 300, n_positions: 16 },
        { seed: 1 },
      ),
      { tokenizer },
    )
    const done = await convertModel(from, join(root, 'half'), { to: 'hf', dtype: 'bfloat16' })
    expect(done.relative).toBeGreaterThan(0)
    expect(done.relative).toBeLessThan(0.05)
    expect((await loadTokenizer(join(root, 'half')))!.encode('call me')).toEqual(tokenizer.encode('call me'))
    expect((await convertModel(fixture('pickles/gpt2'), join(root, 'plain'), { to: 'hf' })).largest).toBe(0)
  })

  test('above the tolerance leaves nothing behind', async () => {
    const path = join(root, 'rough.gguf')
    const failing = convertModel(fixture('models/llama'), path, { to: 'gguf', dtype: 'q4_0', tolerance: 1e-4 })
    await expect(failing).rejects.toThrow(
      /is not the same model: its logits differ by .* more than 0.0001; it was removed/,
    )
    expect(existsSync(path)).toBe(false)
    expect(readdirSync(root).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })

  test('is refused before anything is written', async () => {
    const taken = join(root, 'taken')
    writeFileSync(taken, '')
    await expect(convertModel(fixture('models/llama'), taken, { to: 'gguf' })).rejects.toThrow(/is there already/)
    await expect(convertModel(fixture('models/llama'), join(root, 'a/b'), { to: 'hf' })).rejects.toThrow(HearthError)
    const out = join(root, 'none')
    await expect(convertModel(fixture('models/llama'), out, { to: 'hf', dtype: 'q4_k' })).rejects.toThrow(ConfigError)
    await expect(convertModel(fixture('models/llama'), out, { to: 'gguf', dtype: 'int4' })).rejects.toThrow(
      /"int4" cannot be written/,
    )
    await expect(convertModel(join(root, 'nowhere'), out, { to: 'gguf' })).rejects.toThrow(/no such folder or file/)
    expect(existsSync(out)).toBe(false)
  })
})

test('streamed weights give the logits of loaded ones, and hold nothing between uses', () => {
  const ids = tensor([[5, 6, 7]], { dtype: 'int64' })
  const expected = logits(loadModel(fixture('models/llama_gqa')), ids)
  const source = openModelSource(fixture('models/llama_gqa'))
  const weights = streamedWeights(source)
  source.family.forward(weights, source.config, ids).dispose() // the tables of rotary positions are kept
  const before = memoryStats().liveTensors
  const streamed = source.family.forward(weights, source.config, ids)
  expect(memoryStats().liveTensors).toBeLessThanOrEqual(before + 1)
  expect(streamed.toArray()).toEqual(expected.toArray())
  source.close()
})
