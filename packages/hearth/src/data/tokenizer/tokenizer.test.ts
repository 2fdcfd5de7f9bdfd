import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { DataError, FormatError } from '@hearth/torch'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Tokenizer } from './tokenizer.js'

const fixtures = new URL('../../../../../fixtures/tokenizers/', import.meta.url)

interface Encoding {
  text: string
  ids: number[]
  decoded?: string
}

function recorded(name: string): {
  json: { model: { merges: unknown[] } }
  tokenizer: Tokenizer
  encodings: Encoding[]
} {
  const text = gunzipSync(readFileSync(new URL(`${name}.tokenizer.json.gz`, fixtures))).toString()
  const json = JSON.parse(text) as { model: { merges: unknown[] } }
  const { encodings } = JSON.parse(readFileSync(new URL(`${name}.encodings.json`, fixtures), 'utf8')) as {
    encodings: Encoding[]
  }
  return { json, tokenizer: Tokenizer.fromJson(json), encodings }
}

const gpt2 = recorded('gpt-2')
const neox = recorded('gpt-neox')

describe.each([
  ['gpt-2', gpt2, 50257, 50256],
  ['gpt-neox', neox, 50277, 0],
] as const)('the real vocabulary of %s', (name, { tokenizer, encodings }, vocabSize, endOfText) => {
  test('gives all 46 expected encodings', () => {
    expect(encodings).toHaveLength(46)
    for (const { text, ids } of encodings) expect([...tokenizer.encode(text)], JSON.stringify(text)).toEqual(ids)
  })

  test('decodes them back, at once and one id at a time', () => {
    for (const { text, ids } of encodings) {
      expect(tokenizer.decode(ids)).toBe(text)
      const decoder = tokenizer.streamDecoder()
      expect(ids.map((id) => decoder.push(id)).join('') + decoder.end()).toBe(text)
    }
  })

  test('knows its size and its end of text', () => {
    expect(tokenizer.vocabSize).toBe(vocabSize)
    expect(tokenizer.endOfText).toBe(endOfText)
    expect(tokenizer.token(endOfText)).toBe('<|endoftext|>')
    expect(tokenizer.isSpecial(endOfText)).toBe(true)
    expect(tokenizer.isSpecial(endOfText + 1)).toBe(name === 'gpt-neox') // <|padding|>
  })
})

describe('added tokens', () => {
  const { tokenizer } = neox

  test('GPT-NeoX has one token for each run of 2 to 24 spaces, and takes the longest', () => {
    for (let spaces = 2; spaces <= 24; spaces++) {
      expect([...tokenizer.encode(' '.repeat(spaces))]).toEqual([50254 + 24 - spaces])
    }
    expect([...tokenizer.encode(`x${' '.repeat(27)}y`)]).toEqual([89, 50254, 50275, 90])
    expect(tokenizer.decode([89, 50254, 50275, 90])).toBe(`x${' '.repeat(27)}y`)
  })

  test('the text <|endoftext|> is the special token when recognised, and plain text when not', () => {
    const text = 'one<|endoftext|>two'
    expect([...tokenizer.encode(text)]).toContain(0)
    const plain = tokenizer.encode(text, { recognizeSpecialTokens: false })
    expect([...plain]).not.toContain(0)
    expect(tokenizer.decode(plain)).toBe(text)
  })

  test('special tokens are left out of decoded text unless wanted', () => {
    const ids = tokenizer.encode('one<|endoftext|>')
    expect(tokenizer.decode(ids)).toBe('one')
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe('one<|endoftext|>')
    const decoder = tokenizer.streamDecoder({ skipSpecialTokens: false })
    expect([...ids].map((id) => decoder.push(id)).join('')).toBe('one<|endoftext|>')
  })

  test('ids beyond the vocabulary, which a padded embedding has, decode to nothing', () => {
    expect(tokenizer.decode([89, 50303, -1, 2 ** 31, 90])).toBe('xy')
  })
})

describe('SentencePiece BPE of LLaMA’s kind', () => {
  const { sentencePiece } = JSON.parse(readFileSync(new URL('trained.json', fixtures), 'utf8')) as {
    sentencePiece: { tokenizer: unknown; encodings: Encoding[] }
  }
  const tokenizer = Tokenizer.fromJson(sentencePiece.tokenizer)

  test('encodes and decodes as Hugging Face’s library does', () => {
    expect(sentencePiece.encodings).toHaveLength(47)
    for (const { text, ids, decoded } of sentencePiece.encodings) {
      expect([...tokenizer.encode(text)], JSON.stringify(text)).toEqual(ids)
      expect(tokenizer.decode(ids)).toBe(decoded)
      const decoder = tokenizer.streamDecoder()
      expect(ids.map((id) => decoder.push(id)).join('') + decoder.end()).toBe(decoded)
    }
  })

  test('puts <s> in front only when special tokens are wanted', () => {
    const whole = tokenizer.encode('Call me')
    expect(whole[0]).toBe(1)
    expect([...tokenizer.encode('Call me', { addSpecialTokens: false })]).toEqual([...whole.subarray(1)])
  })
})

describe('streaming', () => {
  test('never gives part of a character', () => {
    const { tokenizer } = gpt2
    const ids = tokenizer.encode('🦙é你')
    const decoder = tokenizer.streamDecoder()
    const pieces = [...ids].map((id) => decoder.push(id))
    expect(ids.length).toBeGreaterThan(3)
    expect(pieces.join('')).toBe('🦙é你')
    expect(pieces.some((piece) => piece.includes('\ufffd'))).toBe(false)
    for (const piece of pieces) expect(piece).not.toMatch(/\p{Surrogate}/u)
  })

  test('ends with U+FFFD when the last character was cut short', () => {
    const { tokenizer } = gpt2
    const [first] = tokenizer.encode('🦙')
    const decoder = tokenizer.streamDecoder()
    expect(decoder.push(first!)).toBe('')
    expect(decoder.end()).toBe('\ufffd')
  })
})

describe('text of unusual shape', () => {
  const { tokenizer } = gpt2

  test('a megabyte without a space takes a moment, not minutes', () => {
    const text = 'abcab'.repeat(200_000)
    const started = performance.now()
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
    expect(performance.now() - started).toBeLessThan(20_000)
  })

  test('more different words than are kept give the same ids before and after the cache is renewed', () => {
    const words = Array.from({ length: 300_000 }, (_, i) => ` w${(i * 2654435761) % 4294967296}`)
    const before = tokenizer.encode(words.slice(0, 10).join(''))
    tokenizer.encode(words.join(''))
    expect(tokenizer.encode(words.slice(0, 10).join(''))).toEqual(before)
  })

  test('a lone surrogate becomes U+FFFD', () => {
    expect(tokenizer.decode(tokenizer.encode('a\ud800b'))).toBe('a\ufffdb')
  })

  test('a batch is the encodings one by one', () => {
    expect(tokenizer.encodeBatch(['a b', '', 'c'])).toEqual([
      tokenizer.encode('a b'),
      new Int32Array(0),
      tokenizer.encode('c'),
    ])
  })
})

describe('other kinds, through the library', () => {
  const special = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
  const vocab = ['[UNK]', '[CLS]', '[SEP]', 'call', 'me', 'ish', '##ma', '##el', '[', 'sep', ']', '.']
  const wordPiece = {
    added_tokens: [0, 1, 2].map((id) => ({ id, content: vocab[id], ...special })),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: { type: 'BertProcessing', cls: ['[CLS]', 1], sep: ['[SEP]', 2] },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: false },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocab.map((token, id) => [token, id])),
    },
  }
  const tokenizer = Tokenizer.fromJson(wordPiece)

  test('WordPiece encodes and decodes, with its special tokens around the text', () => {
    expect([...tokenizer.encode('Call me Ishmael.')]).toEqual([1, 3, 4, 5, 6, 7, 11, 2])
    expect([...tokenizer.encode('whale', { addSpecialTokens: false })]).toEqual([0])
    expect(tokenizer.decode([1, 3, 4, 5, 6, 7, 2])).toBe('call me ishmael')
    expect(tokenizer.decode([])).toBe('')
  })

  test('a word that is not in the vocabulary is the unknown token, or nothing where there is none', () => {
    const model = { type: 'WordLevel', vocab: { call: 0, '<unk>': 1 } }
    const json = { model, pre_tokenizer: { type: 'Whitespace' } }
    const known = Tokenizer.fromJson({ ...json, model: { ...model, unk_token: '<unk>' } })
    expect([...known.encode('call me')]).toEqual([0, 1])
    expect([...Tokenizer.fromJson(json).encode('call me')]).toEqual([0])
  })

  test('streams the text that decode gives', () => {
    const decoder = tokenizer.streamDecoder()
    expect([1, 3, 4, 5, 6, 7, 2].map((id) => decoder.push(id)).join('') + decoder.end()).toBe('call me ishmael')
  })

  test('a special token’s text is not the token when not recognised', () => {
    const options = { addSpecialTokens: false }
    expect([...tokenizer.encode('call[SEP]me', options)]).toEqual([3, 2, 4])
    expect([...tokenizer.encode('call[SEP]me', { ...options, recognizeSpecialTokens: false })]).not.toContain(2)
  })
})

describe('files', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hearth-tokenizer-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  test('saving and loading keeps every encoding, the configuration and the hash', async () => {
    const { json, tokenizer, encodings } = neox
    const config = { eos_token: { content: '<|padding|>' }, bos_token: '<|endoftext|>', chat_template: '{{ x }}' }
    const configured = Tokenizer.fromJson(json, config)
    expect(configured.hash).toBe(tokenizer.hash)
    await configured.save(join(folder, 'saved'))
    for (const path of [join(folder, 'saved'), join(folder, 'saved', 'tokenizer.json')]) {
      const loaded = await Tokenizer.load(path)
      expect(loaded.hash).toBe(tokenizer.hash)
      expect([loaded.endOfText, loaded.beginOfText, loaded.chatTemplate]).toEqual([1, 0, '{{ x }}'])
      for (const { text, ids } of encodings) expect([...loaded.encode(text)]).toEqual(ids)
    }
    const written = JSON.parse(await readFile(join(folder, 'saved', 'tokenizer_config.json'), 'utf8')) as object
    expect(written).toMatchObject({ ...config, tokenizer_class: 'PreTrainedTokenizerFast' })
  })

  test('a missing path and a folder without tokenizer.json are named', async () => {
    await expect(Tokenizer.load(join(folder, 'nowhere'))).rejects.toThrow(DataError)
    await expect(Tokenizer.load(join(folder, 'nowhere'))).rejects.toThrow(/nowhere: no such file or folder/)
    await expect(Tokenizer.load(folder)).rejects.toThrow(/tokenizer\.json: cannot be read/)
  })

  const model = { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] }
  test.each<[string, unknown, RegExp]>([
    ['a list', [], /expected an object with the field "model"/],
    ['null', null, /expected an object with the field "model"/],
    ['a vocabulary alone', { a: 0 }, /expected an object with the field "model"/],
    ['no vocabulary', { model: { type: 'BPE', merges: [] } }, /model\.vocab is missing/],
    ['an empty vocabulary', { model: { ...model, vocab: {} } }, /model\.vocab is empty/],
    ['a negative id', { model: { ...model, vocab: { a: -1 } } }, /token "a" has id -1; expected an integer/],
    ['a huge id', { model: { ...model, vocab: { a: 2 ** 40 } } }, /token "a" has id/],
    ['an id that is text', { model: { ...model, vocab: { a: '0' } } }, /token "a" has id "0"/],
    ['one id twice', { model: { ...model, vocab: { a: 0, b: 0 } } }, /tokens "a" and "b" share id 0/],
    ['added tokens that are no list', { model, added_tokens: {} }, /added_tokens is not a list/],
    ['an added token without content', { model, added_tokens: [{ id: 5 }] }, /added_tokens\[0\] has no content/],
    ['an unknown post-processor', { model, post_processor: { type: 'X' } }, /unknown type "X"/],
    ['a template of unknown tokens', template('<x>'), /post_processor names no ids for <x>/],
    ['a template of no ids', template('__proto__'), /post_processor names no ids for __proto__/],
    [
      'an unknown model',
      { model: { type: 'Sorcery', vocab: { a: 0 } } },
      /model of unknown type "Sorcery"; known are BPE/,
    ],
    ['an unknown part', { model, normalizer: { type: 'Sorcery' } }, /this tokenizer\.json cannot be used: .*Sorcery/],
  ])('%s is refused as malformed', (_, json, message) => {
    expect(() => Tokenizer.fromJson(json)).toThrow(FormatError)
    expect(() => Tokenizer.fromJson(json)).toThrow(message)
  })

  function template(id: string): unknown {
    return {
      model,
      post_processor: { type: 'TemplateProcessing', single: [{ SpecialToken: { id } }], special_tokens: {} },
    }
  }

  test('merges that are not in the vocabulary are refused as malformed', () => {
    const json = structuredClone(neox.json)
    for (const merge of ['Ġ nowhere', 'Ġ', 'a b c', 7, ['a'], ['Ġ', 3]]) {
      json.model.merges[1] = merge
      expect(() => Tokenizer.fromJson(json)).toThrow(/model\.merges\[1\] is .*; expected two tokens/)
    }
  })

  test('a file that is not JSON is named', async () => {
    const path = join(folder, 'broken.json')
    await writeFile(path, '{"model": ')
    await expect(Tokenizer.load(path)).rejects.toThrow(/broken\.json: not JSON/)
  })
})
