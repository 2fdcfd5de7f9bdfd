// Chat templates of tokenizers, and templates that mean harm: those end, and the process does not.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError, DataError, FormatError } from '@hearth/torch'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ChatTemplate, Tokenizer, trainByteLevelBpe } from './index.js'

const root = mkdtempSync(join(tmpdir(), 'hearth-chat-'))
let made = 0
/** A tokenizer's folder, with other contents of tokenizer_config.json and more files. */
async function folderWith(config: object, files: Record<string, string> = {}): Promise<string> {
  const folder = join(root, `folder-${made++}`)
  await tokenizer.save(folder)
  writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(config))
  for (const [name, contents] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true })
    writeFileSync(join(folder, name), contents)
  }
  return folder
}
const loaded = async (config: object, files?: Record<string, string>) => Tokenizer.load(await folderWith(config, files))

let tokenizer: Tokenizer
beforeAll(async () => {
  tokenizer = await trainByteLevelBpe(['the cat sat'], { vocabSize: 257 })
})
afterAll(() => rmSync(root, { recursive: true }))

const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
const question = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Who?' },
]

describe('a chat template', () => {
  test('writes a conversation, and where the answer begins', () => {
    const template = new ChatTemplate(CHATML)
    const text = '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n'
    expect(template.render(question)).toBe(text)
    expect(template.render(question, { addGenerationPrompt: true })).toBe(`${text}<|im_start|>assistant\n`)
  })

  test('knows special tokens, tools, and what else it is given', () => {
    const source = '{{ bos_token }}{{ tools | length }}{% if enable_thinking %} thinks{% endif %}{{ messages[0].role }}'
    const options = { tools: [{ type: 'function' }], variables: { enable_thinking: true } }
    expect(new ChatTemplate(source, { bosToken: '<s>' }).render(question, options)).toBe('<s>1 thinkssystem')
  })

  test('refuses in its own words, and says what is wrong with itself', () => {
    const strict = new ChatTemplate("{{ raise_exception('roles must alternate') }}")
    expect(() => strict.render(question)).toThrow(DataError)
    expect(() => strict.render(question)).toThrow(/does not render system, user: roles must alternate/)
    expect(() => new ChatTemplate('{% for %}')).toThrow(/is not Jinja that can be read/)
    expect(() => new ChatTemplate('{{ nothing.here() }}').render(question)).toThrow(/does not render system, user/)
  })
})

describe('the templates of a tokenizer', () => {
  const end = '<|endoftext|>'
  const config = { eos_token: end, bos_token: { content: end } }
  const rendered = (from: Tokenizer, name?: string) => ChatTemplate.choose(name, from).render([])

  test('are in tokenizer_config.json, or in chat_template.jinja, which counts', async () => {
    const inside = { ...config, chat_template: '{{ bos_token }}in' }
    expect(rendered(await loaded(inside))).toBe(`${end}in`)
    expect(rendered(await loaded(inside, { 'chat_template.jinja': 'file{{ eos_token }}' }))).toBe(`file${end}`)
  })

  test('may be several, by name, and are saved with it', async () => {
    const chat_template = [
      { name: 'default', template: 'plainly' },
      { name: 'tool_use', template: 'tools' },
    ]
    const several = await loaded({ ...config, chat_template }, { 'additional_chat_templates/rag.jinja': 'rag' })
    const again = join(root, 'again')
    await several.save(again)
    for (const from of [several, await Tokenizer.load(again)])
      expect([undefined, 'tool_use', 'rag'].map((name) => rendered(from, name))).toEqual(['plainly', 'tools', 'rag'])
    expect(() => rendered(several, 'nothing')).toThrow(/Known are default, tool_use, rag, plain/)
  })

  test('that need a token which is not there are refused, unless they ask first', async () => {
    const without = await loaded({ eos_token: end, chat_template: '{{ bos_token }}x' })
    expect(() => rendered(without)).toThrow(ConfigError)
    expect(() => rendered(without)).toThrow(/refers to bos_token, which the tokenizer does not have/)
    expect(rendered(await loaded({ chat_template: '{% if bos_token is defined %}{{ bos_token }}{% endif %}x' }))).toBe(
      'x',
    )
  })

  test('that are none are said', async () => {
    await expect(loaded({ chat_template: 4 })).rejects.toThrow(FormatError)
    await expect(loaded({ chat_template: [{ name: 'x' }] })).rejects.toThrow(/chat_template: expected Jinja, or a list/)
    expect((await loaded(config)).chatTemplate).toBeUndefined()
  })
})

describe('a template that means harm', () => {
  const after = () => expect(new ChatTemplate('still here').render([])).toBe('still here')
  const refused = (source: string) => expect(() => new ChatTemplate(source).render([]))

  test('and does not end is ended', () => {
    refused('{% for a in range(100000) %}{% for b in range(100000) %}{{ b }}{% endfor %}{% endfor %}').toThrow(
      /did not finish within its bounds of time and memory/,
    )
    after()
  })

  test('and takes all memory takes only its own', () => {
    refused('{{ range(1000000000) | length }}').toThrow(DataError)
    refused(
      '{% set ns = namespace(x=[1, 2]) %}{% for a in range(40) %}{% set ns.x = ns.x + ns.x %}{% endfor %}',
    ).toThrow(DataError)
    after()
  })

  test('and writes too much, or is too long, is refused', () => {
    refused(
      "{% set ns = namespace(x='0123456789abcdef') %}{% for a in range(21) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
    ).toThrow(/made a text of 33554432 characters/)
    expect(() => new ChatTemplate(' '.repeat(2 ** 20 + 1))).toThrow(/at most 1048576/)
    after()
  })

  test('reaches nothing of the process', () => {
    for (const source of [
      "{{ messages.constructor('return process')() }}",
      '{{ process.env }}',
      "{{ ''.__class__ }}",
    ]) {
      let text = ''
      try {
        text = new ChatTemplate(source).render(question)
      } catch (error) {
        expect(error).toBeInstanceOf(DataError)
      }
      expect(text).not.toMatch(/PATH|object|native/)
    }
  })
})
