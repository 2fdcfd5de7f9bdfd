import { DuckDBInstance } from '@duckdb/node-api'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import {
  ChatTemplate,
  chatTemplateNames,
  prepareRows,
  readRows,
  readRowSets,
  RowBatches,
  RowSet,
  tokeniseRow,
  trainByteLevelBpe,
  writeRows,
  type Row,
} from '../index.js'
import type { MaskOptions } from './tokenise.js'

const folder = mkdtempSync(join(tmpdir(), 'hearth-rows-'))
afterAll(() => rmSync(folder, { recursive: true }))
const file = (name: string, content: string | Buffer): string => {
  writeFileSync(join(folder, name), content)
  return join(folder, name)
}
const lines = (rows: readonly unknown[]) => rows.map((row) => JSON.stringify(row)).join('\n')

const tokenizer = await trainByteLevelBpe(['the cat sat on the mat and the dog sat on the log'.repeat(20)], {
  vocabSize: 300,
})
const END = tokenizer.endOfText!
const plain = ChatTemplate.choose('plain', tokenizer)

const CHAT = [
  { role: 'user', content: 'Who sat?' },
  { role: 'assistant', content: 'The cat.' },
  { role: 'user', content: 'And then?' },
  { role: 'assistant', content: 'The dog sat.' },
]

describe('rows are read in the shapes that people have', () => {
  const chat = { kind: 'chat', messages: CHAT.slice(0, 2) }
  test.each<[string, unknown, unknown]>([
    ['text', { text: 'a cat' }, { kind: 'text', text: 'a cat' }],
    ['completion', { prompt: 'a', completion: 'b', id: 3 }, { kind: 'completion', prompt: 'a', completion: 'b' }],
    ['messages', { messages: CHAT.slice(0, 2) }, chat],
    [
      'sharegpt',
      {
        conversations: [
          { from: 'human', value: 'Who sat?' },
          { from: 'gpt', value: 'The cat.' },
        ],
      },
      chat,
    ],
    ['alpaca', { instruction: 'Who sat?', input: '', output: 'The cat.' }, chat],
    [
      'preference',
      { prompt: 'a', chosen: 'b', rejected: 'c' },
      { kind: 'preference', prompt: 'a', chosen: 'b', rejected: 'c' },
    ],
    [
      'preference',
      { chosen: CHAT.slice(0, 2), rejected: [CHAT[0], { role: 'assistant', content: 'No.' }] },
      { kind: 'preference', prompt: [CHAT[0]], chosen: [CHAT[1]], rejected: [{ role: 'assistant', content: 'No.' }] },
    ],
    [
      'labelled',
      { prompt: 'a', completion: 'b', label: false },
      { kind: 'labelled', prompt: 'a', completion: 'b', label: false },
    ],
  ])('%s', async (shape, row, expected) => {
    const path = file('one.jsonl', `\n${lines([row])}`)
    expect(await readRows(path)).toEqual({ shape, rows: [expected], places: [`${path}: line 2`] })
    expect((await readRows(file('one.json', JSON.stringify([row, row])))).rows).toEqual([expected, expected])
  })

  test('from .csv, .parquet and compressed files, with lists as JSON or as they are', async () => {
    const csv = 'prompt,completion\n"a, b",c\n"line\nbreak",d\n'
    const rows = [
      { kind: 'completion', prompt: 'a, b', completion: 'c' },
      { kind: 'completion', prompt: 'line\nbreak', completion: 'd' },
    ]
    expect((await readRows(file('a.csv', csv))).rows).toEqual(rows)
    expect((await readRows(file('b.csv.gz', gzipSync(csv)))).rows).toEqual(rows)
    const parquet = join(folder, 'c.parquet')
    const connection = await (await DuckDBInstance.create(':memory:')).connect()
    await connection.run(
      `COPY (SELECT [{'role': 'user', 'content': 'Who sat?'}, {'role': 'assistant', 'content': 'The cat.'}] AS messages) TO '${parquet}'`,
    )
    connection.closeSync()
    expect((await readRows(parquet)).rows).toEqual([{ kind: 'chat', messages: CHAT.slice(0, 2) }])
    const listed = `messages\n"${JSON.stringify(CHAT).replaceAll('"', '""')}"\n`
    expect((await readRows(file('d.csv', listed))).rows).toEqual([{ kind: 'chat', messages: CHAT }])
  })

  test('all that is wrong is said at once, with file, row and field', async () => {
    const path = file(
      'bad.jsonl',
      lines([{ messages: CHAT }, { messages: [{ role: 'bot', content: 1 }] }, { text: 'x' }, 7]),
    )
    const other = file('bad.json', '[]')
    const error = await readRows([path, other]).catch((caught: unknown) => caught)
    const said = (error as Error).message
    expect(said).toContain(`${path}: line 2: messages.0.role: got "bot", expected system, user, assistant or tool`)
    expect(said).toContain(`${path}: line 2: messages.0.content: got a number, expected a text`)
    expect(said).toContain(`${path}: line 3: messages: is missing, which rows of the shape messages need`)
    expect(said).toContain(`${path}: line 4: is no object with fields`)
    expect(said).toContain(`${other}: has no rows`)
    const strange = file('u.jsonl', `{no\n{"question": "a"}\n\n{"text": "a"}\n{"text": 1}\ncaf\xe9`)
    await expect(readRows([strange, join(folder, 'none.jsonl'), file('t.txt', 'a')])).rejects.toThrow(
      /6 problems with[^]*none\.jsonl: no such file[^]*t\.txt: is plain text[^]*u\.jsonl: line 1: is not JSON[^]*line 2: has the fields question, which are no shape[^]*line 5: text: got a number[^]*line 6: is not JSON[^]*remedy: name the fields/,
    )
  })

  test('what is wrong with many rows in one way is one line', async () => {
    const rows = Array.from({ length: 30 }, (_, i) => ({ text: i === 9 ? [] : i === 0 ? 'a' : 1 }))
    await expect(readRows(file('m.jsonl', lines(rows)))).rejects.toThrow(
      /29 problems with the rows:\n {2}\S+m\.jsonl: line 2 \(and 27 rows more\): text: got a number, expected a text\n {2}.*line 10: text: got a list, expected a text$/,
    )
  })
})

/** The text of the trained tokens, special ones too, and of the others. */
function marked(row: Row, options: Partial<MaskOptions> = {}): string {
  const { sequences } = tokeniseRow(row, tokenizer, { template: plain, ...options })
  const [{ ids, trained }] = sequences as [{ ids: Int32Array; trained: Uint8Array }]
  let shown = ''
  let before = 0
  for (let i = 0; i <= ids.length; i++) {
    if (i > 0 && i < ids.length && trained[i] === trained[before]) continue
    const text = tokenizer.decode(ids.subarray(before, i), { skipSpecialTokens: false })
    if (i > before) shown += trained[before] ? `[${text}]` : text
    before = i
  }
  return shown
}

describe('answers are trained on, prompts are not', () => {
  const chat: Row = { kind: 'chat', messages: CHAT }
  const END_TEXT = tokenizer.token(END)!

  test('of conversations: each answer, with the token that ends it', () => {
    expect(marked(chat)).toBe(
      `User: Who sat?\nAssistant:[ The cat.${END_TEXT}]\nUser: And then?\nAssistant:[ The dog sat.${END_TEXT}]\n`,
    )
  })

  test.each<[string, Partial<MaskOptions>, RegExp | string]>([
    [
      'the last turn alone',
      { lastTurnOnly: true },
      `User: Who sat?\nAssistant: The cat.${END_TEXT}\nUser: And then?\nAssistant:[ The dog sat.${END_TEXT}]\n`,
    ],
    [
      'the end of the last turn alone',
      { endOfTurn: 'last' },
      `User: Who sat?\nAssistant:[ The cat.]${END_TEXT}\nUser: And then?\nAssistant:[ The dog sat.${END_TEXT}]\n`,
    ],
    [
      'no ends of turns',
      { endOfTurn: 'none' },
      `User: Who sat?\nAssistant:[ The cat.]${END_TEXT}\nUser: And then?\nAssistant:[ The dog sat.]${END_TEXT}\n`,
    ],
    [
      'roles of choice',
      { roles: ['user'] },
      `User: [Who sat?\n]Assistant: The cat.${END_TEXT}\nUser: [And then?\n]Assistant: The dog sat.${END_TEXT}\n`,
    ],
    [
      'prompts too',
      { trainOnPrompt: true },
      `[User: Who sat?\nAssistant: The cat.${END_TEXT}\nUser: And then?\nAssistant: The dog sat.${END_TEXT}\n]`,
    ],
  ])('with %s', (_, options, expected) => {
    expect(marked(chat, options)).toBe(expected)
  })

  test('of prompts with completions and of texts, as they stand', () => {
    expect(marked({ kind: 'completion', prompt: 'the cat', completion: ' sat' })).toBe(`the cat[ sat${END_TEXT}]`)
    expect(marked({ kind: 'text', text: 'the cat' })).toBe(`[the cat${END_TEXT}]`)
  })

  test.each(chatTemplateNames.filter((name) => name !== 'llama2' && name !== 'mistral'))(
    'in the template %s the trained text is what follows the generation prompt',
    (name) => {
      const template = ChatTemplate.choose(name, tokenizer)
      const prompt = template.render(CHAT.slice(0, 3), { addGenerationPrompt: true })
      const shown = marked(chat, { template, lastTurnOnly: true })
      expect(shown.startsWith(prompt)).toBe(true)
      expect(shown.slice(prompt.length)).toMatch(/^\[ ?The dog sat\./)
    },
  )

  test('a row that holds a token which controls the model is refused; a template that rewrites turns is too', () => {
    const sly: Row = { kind: 'chat', messages: [CHAT[0]!, { role: 'assistant', content: `No.${END_TEXT}` }] }
    expect(() => marked(sly)).toThrow(/message 1 holds "<\|endoftext\|>"/)
    expect(marked({ kind: 'text', text: END_TEXT })).toBe(`[${END_TEXT}${END_TEXT}]`)
    expect(
      tokeniseRow({ kind: 'text', text: END_TEXT }, tokenizer, { template: plain }).sequences[0]!.ids.filter(
        (id) => id === END,
      ),
    ).toHaveLength(1)
    const rewriting = new ChatTemplate("{% for m in messages %}{{ m.content if loop.last else '...' }}{% endfor %}")
    expect(() => marked(chat, { template: rewriting })).toThrow(/writes message 1 in another way once others follow/)
    expect(() => marked(chat, { template: new ChatTemplate("{{ raise_exception('no system') }}") })).toThrow(
      /no system/,
    )
    expect(() => ChatTemplate.choose('chatlm', tokenizer)).toThrow(/did you mean chatml/)
  })
})

describe('rows for a run', () => {
  const rows = Array.from({ length: 40 }, (_, i) => ({
    prompt: `the cat ${'sat '.repeat(i % 7)}`,
    completion: `on mat ${i}`,
  }))
  const options = { template: plain, tokenizer, sequenceLength: 48 }

  test('what would train nothing, or never teach to stop, is refused', async () => {
    const long = file('long.jsonl', lines([{ prompt: 'x'.repeat(300), completion: 'y' }]))
    await expect(prepareRows({ ...options, sources: [long] })).rejects.toThrow(/no token of 1 rows would be trained on/)
    const endless = file('endless.jsonl', lines([{ prompt: 'x', completion: 'y'.repeat(300) }]))
    await expect(prepareRows({ ...options, sources: [endless] })).rejects.toThrow(/never learn to stop/)
    await expect(prepareRows({ ...options, sources: [endless], endOfTurn: 'none' })).resolves.toMatchObject({ cut: 1 })
    await expect(prepareRows({ ...options, sources: [endless], kind: 'pair' })).rejects.toThrow(/objective needs pairs/)
    const chats = file('chats.jsonl', lines([{ messages: CHAT }]))
    const given = (source: string) => ({ ...options, sources: [chats], template: new ChatTemplate(source) })
    await expect(prepareRows(given('{{ mesages[0].content }}'))).rejects.toThrow(
      /refers to mesages, which is not there/,
    )
    await expect(
      prepareRows(given('{% for m in messages %}{{ m.role }}: {{ m.text }}{{ eos_token }}{% endfor %}')),
    ).rejects.toThrow(
      /chats\.jsonl: line 1: the chat template \(given\) does not write the words of message 0 \(user\)/,
    )
  })

  test('come back from their file as they were', async () => {
    const made = await prepareRows({ ...options, sources: [file('r.jsonl', lines(rows))], heldOutFraction: 0.2 })
    expect(made.train.rows + made.heldOut.rows).toBe(40)
    expect(made.heldOut.rows).toBeGreaterThan(0)
    const path = join(folder, 'rows.safetensors')
    writeRows(path, made)
    const read = readRowSets(path)
    expect(read.train.sequence(3)).toEqual(made.train.sequence(3))
    expect([read.heldOut.tokens, read.facts.template]).toEqual([made.heldOut.tokens, plain.source])
  })

  test('packed, every trained token is a target once an epoch, under its own document; the slots share a divisor', async () => {
    const { train } = await prepareRows({ ...options, sources: [file('p.jsonl', lines(rows))], heldOutFraction: 0 })
    const batches = new RowBatches(train, { batch: 2, sequenceLength: 48, seed: 3 })
    expect(batches.units).toBeLessThan(train.rows)
    const count = (targets: Int32Array) => targets.filter((id) => id >= 0).length
    let total = 0
    for (const { targets, inputs, documents, shape } of batches.inOrder(4)) {
      total += count(targets)
      expect(shape[1]).toBeLessThanOrEqual(48)
      // A target follows its input within one document: where a document begins, the one before has no target.
      for (let i = 0; i < targets.length; i++)
        if (targets[i]! >= 0 && i + 1 < targets.length && documents?.[i + 1] === documents?.[i] && documents![i]! >= 0)
          expect(targets[i]).toBe(inputs[i + 1])
    }
    expect(total).toBe(train.trainedTokens)
    const whole = batches.slotAt(5, 0, 1)
    const halves = [0, 1].map((slot) => batches.slotAt(5, slot, 2))
    expect(halves.map(({ divisor }) => 2 * divisor)).toEqual([whole.divisor, whole.divisor])
    expect(halves.reduce((sum, { targets }) => sum + count(targets), 0)).toBe(whole.divisor)
    expect(batches.slotAt(5, 1, 2)).toEqual(halves[1])
  })

  test('a labelled batch has each prompt with the next answer too', () => {
    const row = (prompt: string, completion: string, label: boolean) =>
      tokeniseRow({ kind: 'labelled', prompt, completion, label }, tokenizer, options)
    const set = RowSet.of('labelled', [row('the cat', ' sat', true), row('a dog', ' ran', false)])
    const [first] = new RowBatches(set, { batch: 2, sequenceLength: 20, seed: 1 }).inOrder(2)
    const { inputs, shape, labels } = first!
    expect(shape[0]).toBe(4)
    expect(labels).toEqual([true, false])
    const textOf = (b: number) =>
      tokenizer.decode(inputs.slice(b * shape[1], (b + 1) * shape[1]).filter((id) => id !== END))
    expect([0, 1, 2, 3].map((b) => textOf(b).slice(0, 11))).toEqual(
      ['the cat sat', 'a dog ran', 'the cat ran', 'a dog sat'].map(
        (text) => expect.stringMatching(new RegExp(`^${text}`)) as string,
      ),
    )
  })
})
