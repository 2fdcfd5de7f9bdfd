// `hearth adapt` as a person uses it: an adapter from rows, what would be trained on, and everything that is wrong with the
// model, the rows and the settings said at once, before anything is made.
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { trainByteLevelBpe } from 'hearth/data'
import { saveModel } from 'hearth/formats'
import { createModel } from 'hearth/models'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hearth } from './hearth.js'

const cwd = mkdtempSync(join(tmpdir(), 'hearth-cli-adapt-'))
afterAll(() => rmSync(cwd, { recursive: true }))

const CONFIG = {
  model_type: 'llama',
  vocab_size: 300,
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  max_position_embeddings: 64,
  tie_word_embeddings: true,
  eos_token_id: 0,
}
const file = (name: string, text: string) => writeFileSync(join(cwd, name), text)
const jsonLines = (rows: readonly unknown[]) => rows.map((row) => JSON.stringify(row)).join('\n')
const QUESTIONS = Array.from({ length: 24 }, (_, i) => ({ prompt: `What is ${i}?`, completion: ` It is ${i * 3}.` }))

/** The base in another folder, with one of its files changed or gone. */
function broken(name: string, path: string, change: (text: string) => string | undefined): void {
  cpSync(join(cwd, 'base'), join(cwd, name), { recursive: true })
  const text = change(readFileSync(join(cwd, name, path), 'utf8'))
  if (text === undefined) rmSync(join(cwd, name, path))
  else writeFileSync(join(cwd, name, path), text)
}

beforeAll(async () => {
  const texts = QUESTIONS.map(({ prompt, completion }) => prompt + completion)
  const tokenizer = await trainByteLevelBpe(texts, { vocabSize: 300 })
  await saveModel(join(cwd, 'base'), createModel(CONFIG, { seed: 1 }), { tokenizer, maxShardBytes: 50_000 })
  file('rows.jsonl', jsonLines(QUESTIONS))
  file('bad.jsonl', [jsonLines(QUESTIONS.slice(0, 2)), '{"prompt": "What', '{"prompt": "a"}', '[1]'].join('\n'))
  file('strange.json', JSON.stringify([{ question: 'a', answer: 'b' }]))
  broken('bare', 'config.json', () => undefined)
  broken('unknown', 'config.json', (text) => text.replace('"llama"', '"lama"'))
  broken('narrow', 'config.json', (text) => text.replace(/"intermediate_size": 64/, '"intermediate_size": 48'))
  broken('short', 'model-00002-of-00003.safetensors', () => undefined)
})

const adapt = (...args: string[]) => hearth(['adapt', ...args], { cwd })

test('rows become an adapter that the base wears, and the merged model answers as both together', async () => {
  const settings = ['--set', 'steps=4', '--set', 'optimizer.learningRate=0.01', '--set', 'adapt.rank=4']
  const { code, stdout, stderr } = await adapt('base', 'rows.jsonl', '--name', 'mine', '--merge', '--json', ...settings)
  expect([code, stderr]).toEqual([0, expect.stringMatching(/Training/)])
  expect(JSON.parse(stdout)).toMatchObject({ step: 4, stopped: false })
  const answer = async (...model: string[]) =>
    (await hearth(['generate', ...model, 'What is 4?', '--max-tokens', '12', '--temperature', '0'], { cwd })).stdout
  const [run, worn, merged, before] = await Promise.all([
    answer('mine'),
    answer('base', '--adapter', 'runs/mine/adapter'),
    answer('runs/mine/model'),
    answer('base'),
  ])
  expect([worn, merged]).toEqual([run, run])
  expect(before).not.toBe(run)
})

test('a preview marks what would be trained on, counts it, and makes nothing', async () => {
  const { code, stdout } = await adapt('base', 'rows.jsonl', '--name', 'seen', '--preview')
  expect(code).toBe(0)
  expect(stdout).toMatch(/row 1\nWhat is \d+\?\[ It is \d+\.<\|endoftext\|>\]/)
  expect(stdout).toMatch(/rows +2\d to train on, \d held out \(shape: completion\)/)
  expect(existsSync(join(cwd, 'runs/seen'))).toBe(false)
})

describe.concurrent('refused with everything that is wrong:', () => {
  const rowsSay = [
    /bad\.jsonl: line 3: is not JSON/,
    /bad\.jsonl: line 4: completion: is missing, which rows of the shape completion need/,
    /bad\.jsonl: line 5: is no object with fields/,
  ]
  test.each<[string, string[], RegExp[]]>([
    [
      'a family that nobody knows, rows, and settings',
      ['unknown', 'bad.jsonl', 'none.csv', '--set', 'adapt.rank=0'],
      [
        /model_type: "lama" is not a family.*nearest is llama/,
        /adapt\.rank: got 0/,
        /none\.csv: no such file/,
        ...rowsSay,
      ],
    ],
    [
      'a folder without config.json, and rows',
      ['bare', 'bad.jsonl'],
      [/bare.*is no model folder and no run/, ...rowsSay],
    ],
    [
      'a shard that is missing, and rows of no shape',
      ['short', 'strange.json'],
      [
        /model-00002-of-00003\.safetensors is missing, which model\.safetensors\.index\.json names/,
        /strange\.json: row 1: has the fields question, answer, which are no shape of rows/,
        /completion \(prompt, completion\)/,
      ],
    ],
    [
      'tensors of another shape',
      ['narrow', 'bad.jsonl'],
      [
        /layers\.0\.mlp\.gate_proj\.weight in \S+: got shape \[64, 32\], expected \[48, 32\]/,
        /layers\.1\.mlp/,
        ...rowsSay,
      ],
    ],
    [
      'targets that name nothing, a template that is not known, and rows',
      ['base', 'bad.jsonl', '--template', 'chatlm', '--set', 'adapt.targets=["q_prj"]'],
      [/"chatlm" is not known; did you mean chatml/, /"q_prj" names no linear layer/, ...rowsSay],
    ],
  ])('%s', async (_, args, says) => {
    const { code, stdout, stderr } = await adapt(...args, '--name', 'refused')
    for (const each of says) expect(stderr).toMatch(each)
    expect(stderr).not.toMatch(/inside Hearth itself|^ +at .*dist/m)
    expect([code, stdout]).toEqual([1, ''])
    expect(existsSync(join(cwd, 'runs/refused'))).toBe(false)
  })
})
