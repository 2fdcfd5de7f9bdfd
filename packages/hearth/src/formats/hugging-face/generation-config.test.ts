// generation_config.json: read as the model's own settings, written back, and refused where it is impossible.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { fixture } from '../../../test/recorded.js'
import { loadModel, saveModel } from '../index.js'

const root = mkdtempSync(join(tmpdir(), 'hearth-generation-'))
afterAll(() => rmSync(root, { recursive: true }))
let made = 0
const fresh = () => join(root, `folder-${made++}`)
const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), 'utf8')) as Record<string, unknown>

describe('generation_config.json', () => {
  const withSettings = (settings: unknown) => {
    const folder = fresh()
    cpSync(fixture('models/llama'), folder, { recursive: true })
    writeFileSync(join(folder, 'generation_config.json'), JSON.stringify(settings))
    return folder
  }

  test('is the model’s own, and saved with it', async () => {
    const keys = { do_sample: true, temperature: 0.6, top_k: 20, top_p: 0.95, repetition_penalty: 1.1 }
    const model = loadModel(withSettings({ ...keys, max_new_tokens: 9, eos_token_id: [7, 8], num_beams: 3 }))
    expect(model.generation).toEqual({
      ...{ temperature: 0.6, topK: 20, topP: 0.95, repetitionPenalty: 1.1 },
      ...{ maxTokens: 9, endTokens: [7, 8] },
    })
    const folder = fresh()
    await saveModel(folder, model)
    expect(json(folder, 'generation_config.json')).toEqual({
      ...{ ...keys, max_new_tokens: 9, eos_token_id: [7, 8] },
      bos_token_id: 1,
    })
    expect(loadModel(folder).generation).toEqual(model.generation)
  })

  test('without sampling is greedy, and null is nothing', async () => {
    const model = loadModel(withSettings({ do_sample: false, temperature: 0.7, top_p: null, eos_token_id: 3 }))
    expect(model.generation).toEqual({ temperature: 0, endTokens: [3] })
    const folder = fresh()
    await saveModel(folder, model)
    expect(loadModel(folder).generation).toEqual(model.generation)
  })

  test('that is impossible is said, every key', () => {
    expect(() => loadModel(withSettings({ temperature: -1, top_p: 2 }))).toThrow(
      /2 problems\n {2}generation_config.json: temperature: .*\n {2}generation_config.json: top_p: /,
    )
    expect(() => loadModel(withSettings([]))).toThrow(/generation_config.json: \(root\): /)
  })
})
