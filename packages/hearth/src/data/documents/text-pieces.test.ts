import { describe, expect, test } from 'vitest'
import { trainByteLevelBpe } from '../tokenizer/train.js'
import { splitDocuments } from './text-pieces.js'
import type { TextPiece } from './text-pieces.js'

async function* cut(text: string, size: number): AsyncGenerator<string> {
  for (let at = 0; at < text.length; at += size) yield await Promise.resolve(text.slice(at, at + size))
}

async function split(text: string, size = 7, pieceLength?: number): Promise<TextPiece[]> {
  const pieces: TextPiece[] = []
  for await (const piece of splitDocuments(cut(text, size), pieceLength)) pieces.push(piece)
  return pieces
}

describe('splitDocuments', () => {
  test('a text without separators is one document', async () => {
    expect(await split('one\ntwo\n')).toEqual([{ text: 'one\ntwo\n', index: 0, part: 0 }])
  })

  test('separators divide documents wherever the chunks of the stream end', async () => {
    const text = 'one\n<|endoftext|>\ntwo<|endoftext|>three<|endoftext|>\r\nfour\n'
    for (let size = 1; size < text.length; size++) {
      const texts = (await split(text, size)).map((piece) => piece.text)
      expect(texts).toEqual(['one\n', 'two', 'three', 'four\n'])
    }
  })

  test('blank documents are left out, and the numbers of the others show it', async () => {
    const pieces = await split('<|endoftext|>\n\n<|endoftext|>a<|endoftext|>  <|endoftext|>b<|endoftext|>\n')
    expect(pieces).toEqual([
      { text: 'a', index: 2, part: 0 },
      { text: 'b', index: 4, part: 0 },
    ])
  })

  test('a long document comes in pieces that join to it', async () => {
    const text = Array.from({ length: 500 }, (_, i) => `line ${i} of the text\n${i % 7 === 0 ? '\n  ' : ''}`).join('')
    const pieces = await split(text, 97, 300)
    expect(pieces.map((piece) => piece.text).join('')).toBe(text)
    expect(pieces.map((piece) => piece.part)).toEqual(pieces.map((_, i) => i))
    expect(pieces.length).toBeGreaterThan(20)
    for (const piece of pieces) expect(piece.text.length).toBeLessThanOrEqual(300)
  })

  test('the tokens of the pieces are the tokens of the whole', async () => {
    const text = Array.from({ length: 300 }, (_, i) => `w${i}${[' ', '\n', '\n\n', '  ', '\n   '][i % 5]!}`).join('')
    const tokenizer = await trainByteLevelBpe([text], { vocabSize: 300 })
    for (const pieceLength of [64, 100, 333]) {
      const pieces = await split(text, 50, pieceLength)
      expect(pieces.flatMap((piece) => [...tokenizer.encode(piece.text)])).toEqual([...tokenizer.encode(text)])
    }
  })

  test('a long text without spaces is cut between characters', async () => {
    const text = '🦙'.repeat(500)
    const pieces = await split(text, 100, 101)
    expect(pieces.map((piece) => piece.text).join('')).toBe(text)
    for (const piece of pieces) expect(piece.text).not.toMatch(/\p{Surrogate}/u)
  })
})
