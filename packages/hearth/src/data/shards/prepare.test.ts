import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError, DataError } from '@hearth/torch'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Tokenizer } from '../tokenizer/tokenizer.js'
import { trainByteLevelBpe } from '../tokenizer/train.js'
import { verifyTokens } from './manifest.js'
import type { SplitName, TokenManifest } from './manifest.js'
import { prepareTokens } from './prepare.js'
import type { PrepareOptions } from './prepare.js'
import { TokenShards } from './token-shards.js'

const texts = Array.from(
  { length: 200 },
  (_, i) => `Document number ${i}: ${'words and words '.repeat(1 + (i % 9))}\n½ 🦙`,
)

let folder: string
let tokenizer: Tokenizer
let sources: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hearth-shards-'))
  tokenizer = await trainByteLevelBpe(texts, { vocabSize: 400 })
  sources = join(folder, 'documents.jsonl')
  await writeFile(sources, texts.map((text) => `${JSON.stringify({ text })}\n`).join(''))
})
afterAll(() => rm(folder, { recursive: true }))

let folders = 0
function prepare(options: Partial<PrepareOptions> = {}): Promise<TokenManifest> & { outDir: string } {
  const outDir = options.outDir ?? join(folder, `tokens-${folders++}`)
  return Object.assign(prepareTokens({ sources, tokenizer, outDir, heldOutFraction: 0.2, ...options }), { outDir })
}

async function tokensOf(outDir: string, split: SplitName): Promise<Int32Array> {
  using shards = await TokenShards.open(outDir, split)
  const ids = new Int32Array(shards.tokens)
  shards.read(0, ids, 0, shards.tokens)
  return ids
}

/** The documents of a split, decoded. */
async function documentsOf(outDir: string, split: SplitName): Promise<string[]> {
  const text = tokenizer.decode(await tokensOf(outDir, split), { skipSpecialTokens: false })
  return text.split('<|endoftext|>').slice(0, -1)
}

describe('prepareTokens', () => {
  test('every document is on one side, followed by the end of text', async () => {
    const preparing = prepare()
    const { splits, heldOut } = await preparing
    const train = await documentsOf(preparing.outDir, 'train')
    const heldout = await documentsOf(preparing.outDir, 'heldout')
    expect([...train, ...heldout].sort()).toEqual([...texts].sort())
    expect(heldOut).toBe('documents')
    expect([splits.train.documents, splits.heldout.documents]).toEqual([train.length, heldout.length])
    expect(heldout.length).toBeGreaterThan(20)
    expect(heldout.length).toBeLessThan(60)
    expect(splits.heldout.textBytes).toBe(Buffer.byteLength(heldout.join('')))
    expect(splits.train.textBytes).toBe(Buffer.byteLength(train.join('')))
  })

  test('a document falls on the same side in any file, order and company; another seed chooses others', async () => {
    const heldout = await documentsOf((await settled(prepare())).outDir, 'heldout')
    const many = join(folder, 'many')
    await mkdir(many)
    for (const [i, text] of texts.slice(0, 100).entries()) await writeFile(join(many, `${199 - i}.txt`), text)
    const apart = await documentsOf((await settled(prepare({ sources: many }))).outDir, 'heldout')
    expect(apart.sort()).toEqual(heldout.filter((text) => texts.indexOf(text) < 100).sort())
    const other = await documentsOf((await settled(prepare({ seed: 1 }))).outDir, 'heldout')
    expect(other.sort()).not.toEqual(heldout.sort())
  })

  test('shards are cut at their length and read as one sequence', async () => {
    const whole = await settled(prepare())
    const cut = await settled(prepare({ shardTokens: 1000 }))
    for (const split of ['train', 'heldout'] as const) {
      const { shards, tokens } = cut.manifest.splits[split]
      expect(shards.map((shard) => shard.tokens)).toEqual(
        shards.map((_, i) => (i + 1 < shards.length ? 1000 : tokens - 1000 * (shards.length - 1))),
      )
      expect(await tokensOf(cut.outDir, split)).toEqual(await tokensOf(whole.outDir, split))
    }
    expect(cut.manifest.splits.train.shards.length).toBeGreaterThan(3)
    const ids = await tokensOf(cut.outDir, 'train')
    using shards = await TokenShards.open(cut.outDir, 'train', { verify: true })
    const part = new Int32Array(2500)
    for (const start of [0, 1, 999, 1000, 1001, shards.tokens - 2500]) {
      shards.read(start, part, 0, 2500)
      expect(part).toEqual(ids.slice(start, start + 2500))
    }
  })

  test('a vocabulary of more than 65,536 takes 32 bits a token', async () => {
    const json = { model: { type: 'WordLevel', vocab: { '<eos>': 0, [texts[0]!]: 70_000 }, unk_token: '<eos>' } }
    const large = Tokenizer.fromJson(json, { eos_token: '<eos>' })
    const one = join(folder, 'one.txt')
    await writeFile(one, texts[0]!)
    const { outDir, manifest } = await settled(prepare({ sources: one, tokenizer: large, heldOutFraction: 0 }))
    expect(manifest.dtype).toBe('uint32')
    expect([...(await tokensOf(outDir, 'train'))]).toEqual([70_000, 0])
    expect((await stat(join(outDir, 'train-00000.bin'))).size).toBe(8)
  })

  test('the text <|endoftext|> inside a document does not end it', async () => {
    const path = join(folder, 'smuggle.jsonl')
    await writeFile(path, `${JSON.stringify({ text: 'one<|endoftext|>two' })}\n`)
    const { outDir, manifest } = await settled(prepare({ sources: path, heldOutFraction: 0 }))
    expect(manifest.splits.train.documents).toBe(1)
    const ids = await tokensOf(outDir, 'train')
    expect(ids.indexOf(tokenizer.endOfText!)).toBe(ids.length - 1)
    expect(tokenizer.decode(ids)).toBe('one<|endoftext|>two')
  })

  test('of a single book, the end is held out', async () => {
    const book = join(folder, 'book.txt')
    const text = texts.join('\n').repeat(40)
    await writeFile(book, text)
    const { outDir, manifest } = await settled(prepare({ sources: book, heldOutFraction: 0.1 }))
    expect(manifest.heldOut).toBe('end')
    const { train, heldout } = manifest.splits
    expect(heldout.tokens / (train.tokens + heldout.tokens)).toBeCloseTo(0.1, 2)
    expect(train.textBytes + heldout.textBytes).toBe(Buffer.byteLength(text))
    const [first, ...rest] = await documentsOf(outDir, 'train')
    expect(rest).toEqual([])
    expect([first, ...(await documentsOf(outDir, 'heldout'))].join('')).toBe(text)
  })

  test('nothing is held out when nothing is to be', async () => {
    const { outDir, manifest } = await settled(prepare({ heldOutFraction: 0 }))
    expect(manifest.splits.heldout).toEqual({ tokens: 0, documents: 0, textBytes: 0, shards: [] })
    expect(manifest.splits.train.documents).toBe(200)
    using heldout = await TokenShards.open(outDir, 'heldout')
    expect(heldout.tokens).toBe(0)
  })

  test('reports how far it is, and stops when told to', async () => {
    const large = join(folder, 'large.jsonl')
    await writeFile(large, `${JSON.stringify({ text: texts.join(' ').repeat(30) })}\n`.repeat(60))
    const controller = new AbortController()
    const fractions: number[] = []
    const onProgress: PrepareOptions['onProgress'] = ({ fraction, source }) => {
      expect(source).toBe(large)
      fractions.push(fraction)
      if (fractions.length === 2) controller.abort(new Error('stop here'))
    }
    const preparing = prepare({ sources: large, shardTokens: 1000, onProgress, signal: controller.signal })
    await expect(preparing).rejects.toThrow('stop here')
    expect(fractions[1]).toBeGreaterThan(fractions[0]!)
    await expect(TokenShards.open(preparing.outDir, 'train')).rejects.toThrow(/was interrupted/)
  })
})

async function settled(preparing: ReturnType<typeof prepare>): Promise<{ outDir: string; manifest: TokenManifest }> {
  return { outDir: preparing.outDir, manifest: await preparing }
}

describe('a folder that was prepared before', () => {
  const written = async (outDir: string): Promise<number> => (await stat(join(outDir, 'train-00000.bin'))).ctimeMs

  test('is left alone when files, tokenizer and options are the same', async () => {
    const { outDir, manifest } = await settled(prepare())
    const before = await written(outDir)
    expect(await prepare({ outDir })).toEqual(manifest)
    expect(await written(outDir)).toBe(before)
  })

  test('is redone when an option, the tokenizer or a file changed', async () => {
    const copy = join(folder, 'copy.jsonl')
    await writeFile(copy, await readFile(sources))
    const { outDir } = await settled(prepare({ sources: copy, shardTokens: 500 }))
    const steps: (() => Promise<Partial<PrepareOptions>>)[] = [
      () => Promise.resolve({ shardTokens: 5000 }),
      () => Promise.resolve({ seed: 4 }),
      () => Promise.resolve({ heldOutFraction: 0.3 }),
      async () => ({ tokenizer: await trainByteLevelBpe(texts, { vocabSize: 300 }) }),
      async () => {
        await utimes(copy, new Date(), new Date(1_700_000_000_000))
        return {}
      },
    ]
    for (const step of steps) {
      const before = await written(outDir)
      const manifest = await prepare({ sources: copy, outDir, ...(await step()) })
      expect(await written(outDir)).toBeGreaterThan(before)
      const files = Object.values(manifest.splits).flatMap(({ shards }) => shards.map(({ file }) => file))
      expect((await readdir(outDir)).sort()).toEqual([...files, 'manifest.json'].sort())
    }
  })

  test('is redone when it is incomplete or damaged', async () => {
    const { outDir, manifest } = await settled(prepare())
    for (const damage of [
      () => rm(join(outDir, 'manifest.json')),
      () => writeFile(join(outDir, 'manifest.json'), '{'),
      () => truncate(join(outDir, 'train-00000.bin'), 100),
      () => rm(join(outDir, 'heldout-00000.bin')),
    ]) {
      await damage()
      expect(await prepare({ outDir })).toEqual(manifest)
      await verifyTokens(outDir)
    }
  })
})

describe('what cannot be prepared', () => {
  test('impossible options are named all at once', async () => {
    const unending = Tokenizer.fromJson({ model: { type: 'WordLevel', vocab: { a: 0 }, unk_token: 'a' } })
    const preparing = prepare({ tokenizer: unending, heldOutFraction: 1, seed: -1, shardTokens: 0, textColumn: '' })
    await expect(preparing).rejects.toThrow(ConfigError)
    await expect(preparing).rejects.toThrow(
      /heldOutFraction: got 1[^]*seed: got -1[^]*shardTokens: got 0[^]*textColumn: got ''[^]*tokenizer: got one without/,
    )
    await expect(prepare({ heldOutFraction: Number.NaN })).rejects.toThrow(/heldOutFraction: got NaN/)
  })

  test('a folder with other things in it is not touched', async () => {
    const outDir = join(folder, 'photos')
    await mkdir(outDir)
    await writeFile(join(outDir, 'holiday.jpg'), 'x')
    await expect(prepare({ outDir })).rejects.toThrow(/photos: holds other files \(holiday\.jpg\) and no tokens/)
    expect(await readdir(outDir)).toEqual(['holiday.jpg'])
    await expect(prepare({ outDir: sources })).rejects.toThrow(/cannot be used as a folder for tokens/)
  })

  test('bad data leaves what was prepared before as it was', async () => {
    const { outDir } = await settled(prepare())
    await expect(prepare({ outDir, sources: join(folder, 'nowhere') })).rejects.toThrow(DataError)
    await expect(prepare({ outDir, textColumn: 'body' })).rejects.toThrow(/no column 'body'/)
    await verifyTokens(outDir)
  })

  test('text that is all blank', async () => {
    const path = join(folder, 'blank.txt')
    await writeFile(path, '\n \n')
    await expect(prepare({ sources: path })).rejects.toThrow(/the data holds no text/)
  })
})
