// CLIP's tokenizer on a vocabulary of its bytes and a few merges.
import { describe, expect, test } from 'vitest'
import { byteAlphabet } from './byte-alphabet.js'
import { clipTokenizer } from './clip.js'

const merges = ['c a', 'ca t</w>', 'd o', 'do g</w>']
const tokens = [
  ...byteAlphabet,
  ...byteAlphabet.map((byte) => `${byte}</w>`),
  ...merges.map((merge) => merge.replace(' ', '')),
  '<|startoftext|>',
  '<|endoftext|>',
]
const vocabulary = Object.fromEntries(tokens.map((token, id) => [token, id]))
const tokenizer = clipTokenizer({ vocabulary, merges: `#version: 0.2\n${merges.join('\n')}\n`, where: 'tiny' })
const pieces = (text: string): string[] =>
  [...tokenizer.encode(text, { recognizeSpecialTokens: false })].map((id) => tokens[id]!)
const around = (...inside: string[]) => ['<|startoftext|>', ...inside, '<|endoftext|>']

describe('CLIP’s tokenizer', () => {
  test.each([
    ['cat', ['cat</w>']],
    ['  A  CAT,\n7 7 ', ['a</w>', 'cat</w>', ',</w>', '7</w>', '7</w>']],
    ['77', ['7</w>', '7</w>']],
    ["dog's", ['dog</w>', "'", 's</w>']],
    ['', []],
    ['é', ['Ã', '©</w>']],
    ['a!?', ['a</w>', '!', '?</w>']],
  ])('makes of %j what it makes', (text, inside) => {
    expect(pieces(text)).toEqual(around(...inside))
  })

  test('does not let a text end itself', () => {
    expect(pieces('<|endoftext|>').filter((token) => token === '<|endoftext|>')).toHaveLength(1)
  })

  test('refuses files that are not CLIP’s', () => {
    expect(() => clipTokenizer({ vocabulary: { a: 0 }, merges: '', where: 'tokenizer' })).toThrow(
      /no <\|startoftext\|>/,
    )
    expect(() => clipTokenizer({ vocabulary, merges: 'a b c', where: 'tokenizer' })).toThrow(
      /merges.txt has the line "a b c"/,
    )
  })
})
