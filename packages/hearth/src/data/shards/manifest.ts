/**
 * The manifest of a folder of token shards: what the tokens were made of and how, and every file with its size and
 * checksum. It is written last, so that a folder with a manifest is a complete one.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DataError, FormatError } from '@hearth/torch'
import { z } from 'zod'

export const MANIFEST = 'manifest.json'
export const FORMAT = 'hearth-tokens'
export const VERSION = 1

/** Names of the shards that are ours: nothing else in a folder is ever touched. */
export const shardName = /^(?:train|heldout)-\d{5}\.bin$/

const count = z.int().min(0)
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)

const shard = z.strictObject({ file: z.string().regex(shardName), tokens: z.int().min(1), bytes: count, sha256 })

const split = z.strictObject({
  tokens: count,
  documents: count,
  /** Bytes of text behind the tokens, for bits per byte. */
  textBytes: count,
  shards: z.array(shard),
})

const manifest = z.strictObject({
  format: z.literal(FORMAT),
  version: z.literal(VERSION),
  dtype: z.enum(['uint16', 'uint32']),
  vocabSize: z.int().min(1),
  endOfText: count,
  /** `Tokenizer.hash` of the tokenizer that made the tokens. */
  tokenizer: sha256,
  options: z.strictObject({
    textColumn: z.string(),
    heldOutFraction: z.number().min(0).lt(1),
    seed: count,
    shardTokens: z.int().min(1),
  }),
  sources: z.array(z.strictObject({ path: z.string(), bytes: count, modified: z.number() })),
  /** Whole documents by their hash, or, where that left one side without any, the end of the text. */
  heldOut: z.enum(['documents', 'end']),
  splits: z.strictObject({ train: split, heldout: split }),
})

/** What a folder of token shards says of itself. */
export type TokenManifest = z.infer<typeof manifest>

/** The two sides that documents fall on. */
export type SplitName = 'train' | 'heldout'

/** Bytes of one token. */
export function tokenBytes(dtype: TokenManifest['dtype']): number {
  return dtype === 'uint16' ? 2 : 4
}

/**
 * Reads a folder's manifest and checks that every shard is there with its size.
 *
 * @throws DataError when the folder is not a complete folder of token shards, FormatError when it is a damaged one
 */
export async function readManifest(folder: string): Promise<TokenManifest> {
  const path = join(folder, MANIFEST)
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) throw await notPrepared(folder)
  const read = parseManifest(text, path)
  for (const name of ['train', 'heldout'] as const) await checkSplit(folder, name, read)
  return read
}

const again = { remedy: 'prepare the tokens again: what is damaged is replaced' }

function parseManifest(text: string, path: string): TokenManifest {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new FormatError(`${path}: not JSON: ${(cause as Error).message}`, { cause, ...again })
  }
  const head = z.looseObject({ format: z.unknown(), version: z.unknown() }).safeParse(json)
  if (!head.success || head.data.format !== FORMAT) throw new FormatError(`${path}: not a manifest of token shards`)
  if (head.data.version !== VERSION) {
    const got = JSON.stringify(head.data.version)
    throw new FormatError(`${path}: version ${got} of token shards; this Hearth reads version ${VERSION}`, again)
  }
  const parsed = manifest.safeParse(json)
  if (parsed.success) return parsed.data
  throw new FormatError(`${path}: malformed manifest:\n${z.prettifyError(parsed.error)}`, again)
}

async function checkSplit(folder: string, name: SplitName, read: TokenManifest): Promise<void> {
  const { tokens, shards } = read.splits[name]
  const sum = shards.reduce((total, one) => total + one.tokens, 0)
  if (sum !== tokens) throw new FormatError(`${folder}: ${name} has ${tokens} tokens, its shards have ${sum}`, again)
  for (const one of shards) {
    const path = join(folder, one.file)
    const size = (await stat(path).catch(() => undefined))?.size
    const expected = one.tokens * tokenBytes(read.dtype)
    if (size === undefined) throw new FormatError(`${path}: the shard is missing`, again)
    if (size !== expected || one.bytes !== expected) {
      throw new FormatError(`${path}: ${size} bytes; ${one.tokens} tokens take ${expected}`, again)
    }
  }
}

async function notPrepared(folder: string): Promise<DataError> {
  const names = await readdir(folder).catch(() => undefined)
  if (names === undefined) return new DataError(`${folder}: no such folder of token shards`)
  if (names.some((name) => shardName.test(name))) {
    return new DataError(`${folder}: the preparation of these tokens was interrupted`, { remedy: 'prepare them again' })
  }
  return new DataError(`${folder}: has no ${MANIFEST}, so it is no folder of token shards`)
}

/**
 * Reads every shard and compares its checksum; sizes alone are checked whenever shards are opened.
 *
 * @throws FormatError naming the first damaged shard
 */
export async function verifyTokens(folder: string): Promise<void> {
  const { splits } = await readManifest(folder)
  for (const one of [...splits.train.shards, ...splits.heldout.shards]) {
    const path = join(folder, one.file)
    const hash = createHash('sha256')
    for await (const bytes of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(bytes as Uint8Array)
    if (hash.digest('hex') !== one.sha256) throw new FormatError(`${path}: damaged: its checksum is another`, again)
  }
}
