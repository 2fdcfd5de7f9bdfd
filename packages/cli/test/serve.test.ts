// `hearth serve` as a process: it says where it is, fine-tunes what it serves, and ends when it is told.
import { createReadStream, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { trainByteLevelBpe } from 'hearth/data'
import { saveModel } from 'hearth/formats'
import { createModel } from 'hearth/models'
import OpenAI from 'openai'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { hearth, startHearth, type Started } from './hearth.js'
import { poems, tinyModel } from './tiny-run.js'

let cwd: string, server: Started, client: OpenAI

beforeAll(async () => {
  cwd = mkdtempSync(join(tmpdir(), 'hearth-cli-serve-'))
  const tokenizer = await trainByteLevelBpe([readFileSync(poems, 'utf8')], { vocabSize: 300 })
  const config = { model_type: 'llama', max_position_embeddings: 128, vocab_size: 300, ...tinyModel }
  await saveModel(join(cwd, 'base'), createModel(config, { seed: 1 }), { tokenizer })
  server = startHearth(['serve', 'base=tiny', '--port', '0', '--threads', '1'], { cwd })
  const url = await new Promise<string>((resolve, reject) => {
    let text = ''
    server.child.stdout!.on('data', (piece: string) => {
      text += piece
      const found = /http:\S+/.exec(text)
      if (found) resolve(found[0])
    })
    void server.finished.then(({ stderr }) => reject(new Error(stderr)))
  })
  client = new OpenAI({ baseURL: url, apiKey: 'none', maxRetries: 0 })
})
afterAll(async () => {
  server.child.kill('SIGKILL')
  await server.finished
  rmSync(cwd, { recursive: true })
})

test('a fine-tuning job is a run, and its adapter is served at once; what is wrong with one is said', async () => {
  const rows = Array.from({ length: 12 }, (_, i) => {
    const messages = [
      { role: 'user', content: `What is ${i}?` },
      { role: 'assistant', content: 'The Jabberwock.' },
    ]
    return JSON.stringify({ messages })
  })
  writeFileSync(join(cwd, 'rows.jsonl'), rows.join('\n'))
  const file = await client.files.create({ file: createReadStream(join(cwd, 'rows.jsonl')), purpose: 'fine-tune' })
  expect((await client.files.list()).data.map(({ id }) => id)).toEqual([file.id])
  const job = await client.fineTuning.jobs.create({
    model: 'tiny',
    training_file: file.id,
    suffix: 'poet',
    method: {
      type: 'supervised',
      supervised: { hyperparameters: { n_epochs: 2, batch_size: 2, learning_rate_multiplier: 10 } },
    },
  })
  const done = await ended(job.id)
  expect(done).toMatchObject({ status: 'succeeded', error: null })
  const name = done.fine_tuned_model!
  expect(name).toMatch(/^ft:tiny:poet:/)
  expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['tiny', name])
  const say = async (model: string) => {
    const prompt = 'User: What is 3?\nAssistant:'
    const { choices } = await client.completions.create({ model, prompt, max_tokens: 1, temperature: 0, logprobs: 1 })
    return choices[0]!.logprobs!.token_logprobs
  }
  expect(await say(name)).not.toEqual(await say('tiny'))
  const events = await client.fineTuning.jobs.listEvents(job.id)
  expect(events.data.map(({ message }) => message).join('\n')).toMatch(/training loss=[\s\S]*Created the job/)
  expect((await client.fineTuning.jobs.checkpoints.list(job.id)).data.length).toBeGreaterThan(0)
  await expect(client.fineTuning.jobs.cancel(job.id)).rejects.toThrow(/has ended: it is succeeded/)

  const wrong = await client.files.create({ file: new File(['{"nothing": 1}\n'], 'x.jsonl'), purpose: 'fine-tune' })
  const failed = await client.fineTuning.jobs.create({ model: 'tiny', training_file: wrong.id })
  expect((await ended(failed.id)).error!.message).toMatch(/line 1/)
  await expect(client.files.retrieve('../base/config.json')).rejects.toThrow(/404/)
}, 90_000)

async function ended(id: string): Promise<OpenAI.FineTuning.FineTuningJob> {
  for (;;) {
    const job = await client.fineTuning.jobs.retrieve(id)
    if (!['queued', 'running', 'validating_files'].includes(job.status)) return job
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

test('evaluate gives a model here and the same model at an endpoint the same scores', async () => {
  const tasks = ['poems', 'poem-bytes'].map((name) =>
    fileURLToPath(new URL(`../../../examples/tasks/${name}.yaml`, import.meta.url)),
  )
  const url = `${client.baseURL}#tiny`
  const line = ['evaluate', 'base', url, '--tasks', tasks.join(), '--tokenizer', 'base', '--context-length', '128']
  const { stdout, stderr } = await hearth([...line, '--output', 'out', '--log-samples'], { cwd })
  expect(stderr.match(/Wrote out\/(base|tiny)\/results_/g)).toHaveLength(2)
  const rows = stdout
    .trim()
    .split('\n')
    .slice(1)
    .map((row) => row.trim().split(/ {2,}/))
  expect(rows.map(([task, , , metric]) => `${task} ${metric}`)).toEqual([
    'poems acc ↑',
    'poems acc_norm ↑',
    'poem_bytes word_perplexity ↓',
    'poem_bytes bits_per_byte ↓',
  ])
  for (const [, , , , here, there] of rows)
    expect(Math.abs(parseFloat(here!) / parseFloat(there!) - 1) || 0).toBeLessThan(1e-4)
  // By texts, without a tokenizer, and generated: the answers themselves.
  const asked = await hearth(
    [
      'evaluate',
      'base',
      url,
      '--tasks',
      [tasks[0], tasks[0]!.replace('poems', 'poem-words')].join(),
      '--output',
      'texts',
      '--log-samples',
    ],
    { cwd },
  )
  expect(asked.stderr).not.toMatch(/error/)
  for (const task of ['poems', 'poem_words']) {
    const [here, there] = ['base', 'tiny'].map((name) => {
      const file = readdirSync(join(cwd, 'texts', name)).find((each) => each.startsWith(`samples_${task}`))!
      const lines = readFileSync(join(cwd, 'texts', name, file), 'utf8')
        .trim()
        .split('\n')
      return lines.flatMap((each) =>
        (JSON.parse(each) as { resps: ([number] | string)[] }).resps.map(([first]) => first),
      )
    })
    expect(here!.length).toBeGreaterThan(7)
    here!.forEach((answer, i) => {
      if (typeof answer === 'number') expect(Math.abs(answer - (there![i] as number))).toBeLessThan(1e-3)
      else expect(answer).toBe(there![i])
    })
  }
  const chat = await hearth(['evaluate', `${client.baseURL}/chat/completions#tiny`, '--tasks', tasks[0]!], { cwd })
  expect([chat.code, chat.stderr]).toEqual([
    1,
    expect.stringMatching(/tiny: is a chat endpoint, which gives no log probabilities; poems need them/),
  ])
})

test('mistakes of the line are said before anything is opened', async () => {
  const open = await hearth(['serve', 'base', '--host', '0.0.0.0'], { cwd })
  expect([open.code, open.stderr]).toEqual([1, expect.stringMatching(/a key is needed/)])
  const adapter = await hearth(['serve', 'base', '--adapter', 'nothing'], { cwd })
  expect([adapter.code, adapter.stderr]).toEqual([2, expect.stringMatching(/--adapter takes NAME=DIR/)])
})

test('SIGTERM ends it, with the code of an end that is well', async () => {
  server.child.kill('SIGTERM')
  expect((await server.finished).code).toBe(0)
})
