// GPT-NeoX's pairs of files: what is written comes back, and every field of the index is held to the file.
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FormatError, HearthError } from '@hearth/torch'
import { afterAll, describe, expect, test } from 'vitest'
import { NeoxData, prepareTokens, readNeoxIntoShards, TokenShards, trainByteLevelBpe, writeNeox } from '../index.js'

const root = mkdtempSync(join(tmpdir(), 'hearth-neox-'))
afterAll(() => rmSync(root, { recursive: true }))
const tokenizer = await trainByteLevelBpe(['some words, and more words'], { vocabSize: 280 })
const lines = Array.from({ length: 40 }, (_, i) => JSON.stringify({ text: `words of line ${i}` }))
writeFileSync(join(root, 'text.jsonl'), lines.join('\n'))
const shards = join(root, 'tokens')
await prepareTokens({ sources: join(root, 'text.jsonl'), tokenizer, outDir: shards, heldOutFraction: 0.2 })
const written = await writeNeox(shards, join(root, 'books'))
const pair = join(root, 'books_train_text_document')

async function tokensOf(folder: string, split: 'train' | 'heldout'): Promise<number[]> {
  using data = await TokenShards.open(folder, split)
  const ids = new Int32Array(data.tokens)
  data.read(0, ids, 0, ids.length)
  return [...ids]
}

describe('token shards', () => {
  test('come back from pairs of files, documents and all', async () => {
    expect(written.map(({ documents }) => documents).reduce((a, b) => a + b)).toBe(40)
    using data = NeoxData.open(pair)
    const ids = new Int32Array(data.tokens)
    data.read(0, ids, 0, ids.length)
    expect([...ids]).toEqual(await tokensOf(shards, 'train'))
    expect(tokenizer.decode(data.document(1))).toMatch(/^words of line \d+$/)
    const part = new Int32Array(9)
    data.read(7, part, 0, 9)
    expect([...part]).toEqual([...ids.subarray(7, 16)])
  })

  test('are made of a pair, with the documents held out that the text would have', async () => {
    const folder = join(root, 'again')
    const manifest = readNeoxIntoShards(`${pair}.idx`, folder, { tokenizer, heldOutFraction: 0.2 })
    expect(await tokensOf(folder, 'train')).toEqual(await tokensOf(shards, 'train'))
    expect(manifest.splits.heldout.tokens).toBe(0)
  })

  test('are not written over files that exist', async () => {
    await expect(writeNeox(shards, join(root, 'books'))).rejects.toThrow(
      /books_train_text_document.idx.* are there already/,
    )
  })

  test('of another tokenizer are refused', async () => {
    const small = await trainByteLevelBpe(['x'], { vocabSize: 257 })
    expect(() => readNeoxIntoShards(pair, join(root, 'other'), { tokenizer: small })).toThrow(/the tokenizer has 257/)
  })
})

describe('an index', () => {
  const original = readFileSync(`${pair}.idx`)
  const sequences = Number(original.readBigUInt64LE(18))
  const changed = (change: (index: Buffer) => Buffer | undefined) => () => {
    const index = Buffer.from(original)
    writeFileSync(join(root, 'bad.idx'), change(index) ?? index)
    writeFileSync(join(root, 'bad.bin'), readFileSync(`${pair}.bin`))
    NeoxData.open(join(root, 'bad')).close()
  }

  test.each<[string, (index: Buffer) => Buffer | undefined, RegExp]>([
    ['another beginning', (index) => void index.write('TNTIDX'), /the first bytes/],
    ['version 2', (index) => void index.writeUInt8(2, 9), /version: got 2, expected 1/],
    ['tokens that are floats', (index) => void index.writeUInt8(6, 17), /dtype: got 6/],
    ['2^60 sequences', (index) => void index.writeBigUInt64LE(2n ** 60n, 18), /its size/],
    ['one boundary more', (index) => void index.writeUInt8(index[26]! + 1, 26), /its size/],
    ['a negative length', (index) => void index.writeInt32LE(-1, 34), /sequence 0: got -1 tokens/],
    ['a length beyond the tokens', (index) => void index.writeInt32LE(2 ** 30, 34), /sequence 0/],
    ['a negative offset', (index) => void index.writeBigInt64LE(-2n, 34 + 4 * sequences), /at byte -2/],
    ['an offset inside a token', (index) => void index.writeBigInt64LE(1n, 34 + 4 * sequences), /at byte 1/],
    ['an offset of 2^62', (index) => void index.writeBigInt64LE(2n ** 62n, 34 + 4 * sequences), /sequence 0/],
    [
      'documents that begin behind the first sequence',
      (index) => void index.writeBigInt64LE(1n, 34 + 12 * sequences),
      /boundary 0/,
    ],
    ['boundaries that fall', (index) => void index.writeBigInt64LE(9n, 42 + 12 * sequences), /boundary 2/],
    ['an end cut off', (index) => index.subarray(0, -1), /its size/],
    ['nothing', () => Buffer.alloc(0), /0 bytes, expected at least 34/],
  ])('with %s is refused', (_, change, words) => {
    expect(changed(change)).toThrow(FormatError)
    expect(changed(change)).toThrow(words)
  })

  test('whose tokens are missing or cut is refused', () => {
    truncateSync(join(root, 'bad.bin'), 10)
    writeFileSync(join(root, 'bad.idx'), original)
    expect(() => NeoxData.open(join(root, 'bad'))).toThrow(/within the 10 bytes/)
    rmSync(join(root, 'bad.bin'))
    expect(() => NeoxData.open(join(root, 'bad'))).toThrow(HearthError)
  })
})
