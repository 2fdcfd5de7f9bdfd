// The manifest of a checkpoint: which step, which files, their sizes and the checksum of every block of them. It is
// written last and protects itself: a manifest with any bit changed is refused. Not here: the files (save.ts, verify.ts).
import { createHash } from 'node:crypto'
import { FormatError } from '@hearth/torch'

/** What JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** One safetensors file of a checkpoint. */
export interface ShardRecord {
  /** Its name inside the checkpoint's folder. */
  readonly file: string
  readonly bytes: number
  /** SHA-256 of each block of `blockBytes` bytes, in order; the last block may be shorter. */
  readonly blocks: readonly string[]
}

/** What a checkpoint says of itself. */
export interface Manifest {
  readonly format: typeof FORMAT
  readonly version: typeof VERSION
  readonly step: number
  /** The hash of the checkpoint that this state was trained from; null for the first. */
  readonly parent: string | null
  /** When it was saved, as in `2026-01-31T12:00:00.000Z`. */
  readonly savedAt: string
  readonly blockBytes: number
  readonly shards: readonly ShardRecord[]
  /** What the trainer wants to find again: hash of the configuration, position in the data, ... */
  readonly meta: Json
}

export const FORMAT = 'hearth-checkpoint'
export const VERSION = 1
export const MANIFEST_FILE = 'manifest.json'

/** Large enough that calls and checksums cost nothing, small enough to say where the damage is. */
export const BLOCK_BYTES = 4 * 2 ** 20
const MAX_BLOCK_BYTES = 2 ** 30

/**
 * SHA-256, in hexadecimal. Measured: 1.5 GB/s with the SHA instructions that servers of the last years have, 0.4 GB/s
 * without; CRC-32 (zlib) does 2.6. Few disks keep up with the first, so the faster sum would gain little; and only the
 * strong hash can name a state: the chain of parents and the comparison of two runs need no second pass over the data.
 */
export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/**
 * A manifest as the bytes of its file, and its hash, which is also the name of the whole state.
 * The text ends in the hash of everything before it.
 */
export function formatManifest(manifest: Manifest): { bytes: Uint8Array; hash: string } {
  const body = JSON.stringify(manifest, undefined, 1)
  const hash = sha256(Buffer.from(body))
  const text = JSON.stringify({ ...manifest, checksum: hash }, undefined, 1)
  return { bytes: Buffer.from(text + '\n'), hash }
}

/**
 * Reads a manifest. Only the exact bytes that `formatManifest` makes of the contents are accepted: whatever differs, be
 * it a space, a repeated key or the checksum itself, is damage.
 * @throws FormatError saying what is wrong
 */
export function parseManifest(bytes: Uint8Array): { manifest: Manifest; hash: string } {
  const { checksum, ...manifest } = parseObject(bytes)
  if (manifest.format !== FORMAT) throw refuse('is not that of a checkpoint')
  // The fields may be anything until they are checked below; damage is what a reader should hear of first.
  const expected = formatAgain(manifest)
  if (checksum !== expected.hash || Buffer.compare(expected.bytes, bytes) !== 0)
    throw refuse('differs from its own checksum')
  if (manifest.version !== VERSION)
    throw refuse(`has version ${JSON.stringify(manifest.version)}; this program reads version ${VERSION}`)
  checkFields(manifest)
  return { manifest: manifest as unknown as Manifest, hash: expected.hash }
}

type Fields = Record<string, unknown>

const refuse = (reason: string) => new FormatError(`${MANIFEST_FILE} ${reason}`)

function parseObject(bytes: Uint8Array): Fields {
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    throw refuse('is not JSON')
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw refuse('is not a JSON object')
  return parsed as Fields
}

function formatAgain(manifest: Fields): { bytes: Uint8Array; hash: string } {
  try {
    return formatManifest(manifest as unknown as Manifest)
  } catch {
    throw refuse('is nested too deeply')
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const isHash = (value: unknown) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
// A name of our own making and no path: a manifest from elsewhere must not reach outside its folder.
const isShardName = (value: unknown) => typeof value === 'string' && /^[A-Za-z0-9][\w.-]*\.safetensors$/.test(value)

// A checksum proves that nothing changed, not that the writer was right: a manifest is input like any other file.
function checkFields(manifest: Fields): void {
  const { step, parent, savedAt, blockBytes, shards } = manifest
  const check = (holds: boolean, field: string) => {
    if (!holds) throw refuse(`has an impossible ${field}`)
  }
  check(isCount(step), 'step')
  check(parent === null || isHash(parent), 'parent')
  check(typeof savedAt === 'string' && !Number.isNaN(Date.parse(savedAt)), 'savedAt')
  check(isCount(blockBytes) && blockBytes > 0 && blockBytes <= MAX_BLOCK_BYTES, 'blockBytes')
  check(manifest.meta !== undefined, 'meta')
  check(Array.isArray(shards) && shards.length > 0, 'shards')
  const names = (shards as (Fields | null)[]).map((shard) => {
    const { file, bytes, blocks } = shard ?? {}
    check(isShardName(file), 'name of a shard')
    check(isCount(bytes), `size of ${String(file)}`)
    const count = Math.ceil((bytes as number) / (blockBytes as number))
    check(Array.isArray(blocks) && blocks.length === count && blocks.every(isHash), `checksum of ${String(file)}`)
    return file
  })
  check(new Set(names).size === names.length, 'list of shards: one is named twice')
}
