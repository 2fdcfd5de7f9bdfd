import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DisposedError, FormatError } from '@hearth/torch'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { trainByteLevelBpe } from '../tokenizer/train.js'
import { verifyTokens } from './manifest.js'
import type { TokenManifest } from './manifest.js'
import { prepareTokens } from './prepare.js'
import { TokenShards } from './token-shards.js'

describe('opening token shards', () => {
  let folder: string
  let outDir: string
  let good: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hearth-opening-'))
    outDir = join(folder, 'tokens')
    const sources = join(folder, 'documents.txt')
    const texts = Array.from({ length: 100 }, (_, i) => `Document number ${i}.`)
    await writeFile(sources, texts.join('<|endoftext|>'))
    const tokenizer = await trainByteLevelBpe(texts, { vocabSize: 300 })
    await prepareTokens({ sources, tokenizer, outDir, heldOutFraction: 0.3 })
    good = await readFile(join(outDir, 'manifest.json'), 'utf8')
  })
  afterAll(() => rm(folder, { recursive: true }))

  test.each<[string, (manifest: TokenManifest) => unknown, RegExp]>([
    ['no JSON', () => '{"format":', /manifest\.json: not JSON/],
    ['another format', () => ({ format: 'other' }), /not a manifest of token shards/],
    ['a list', () => [], /not a manifest of token shards/],
    ['a later version', (m) => ({ ...m, version: 2 }), /version 2 of token shards; this Hearth reads version 1/],
    ['another dtype', (m) => ({ ...m, dtype: 'float16' }), /malformed manifest:[^]*dtype/],
    ['a path that leads out', (m) => withShard(m, { file: '../secret.bin' }), /malformed manifest:[^]*file/],
    ['a missing shard', (m) => withShard(m, { file: 'train-00007.bin' }), /train-00007\.bin: the shard is missing/],
    ['a wrong size', (m) => withShard(m, { bytes: 7 }), /train-00000\.bin: \d+ bytes; \d+ tokens take \d+/],
    [
      'a wrong sum',
      (m) => ({ ...m, splits: { ...m.splits, train: { ...m.splits.train, tokens: 5 } } }),
      /train has 5 tokens/,
    ],
  ])('%s in the manifest is refused', async (_, change, message) => {
    const changed = change(JSON.parse(good) as TokenManifest)
    await writeFile(join(outDir, 'manifest.json'), typeof changed === 'string' ? changed : JSON.stringify(changed))
    const opening = TokenShards.open(outDir, 'train')
    await expect(opening).rejects.toThrow(FormatError)
    await expect(opening).rejects.toThrow(message)
    await writeFile(join(outDir, 'manifest.json'), good)
  })

  function withShard(manifest: TokenManifest, change: object): unknown {
    const { train } = manifest.splits
    return {
      ...manifest,
      splits: { ...manifest.splits, train: { ...train, shards: [{ ...train.shards[0], ...change }] } },
    }
  }

  test('a flipped bit is found when asked to look', async () => {
    const path = join(outDir, 'heldout-00000.bin')
    const bytes = await readFile(path)
    bytes[100]! ^= 1
    await writeFile(path, bytes)
    await expect(TokenShards.open(outDir, 'train', { verify: true })).rejects.toThrow(/heldout-00000\.bin: damaged/)
    bytes[100]! ^= 1
    await writeFile(path, bytes)
    await verifyTokens(outDir)
  })

  test('a folder that was never prepared is said to be none', async () => {
    await expect(TokenShards.open(join(folder, 'nowhere'), 'train')).rejects.toThrow(/no such folder of token shards/)
    await expect(TokenShards.open(folder, 'train')).rejects.toThrow(/has no manifest\.json/)
  })

  test('reading outside the split or after closing is refused', async () => {
    const shards = await TokenShards.open(outDir, 'train')
    const into = new Int32Array(10)
    expect(() => shards.read(-1, into, 0, 2)).toThrow(RangeError)
    expect(() => shards.read(shards.tokens - 1, into, 0, 2)).toThrow(RangeError)
    expect(() => shards.read(Number.NaN, into, 0, 2)).toThrow(RangeError)
    shards.close()
    expect(() => shards.read(0, into, 0, 2)).toThrow(DisposedError)
  })
})
