// Whether a checkpoint is whole: every file there, of its size, every block of it with its checksum, in the folder of
// its own step. Everything is read. Not here: what to do when it is not (load.ts, prune.ts).
import { basename, join } from 'node:path'
import { FormatError } from '@hearth/torch'
import { MANIFEST_FILE, parseManifest, sha256 } from './manifest.js'
import type { Manifest, ShardRecord } from './manifest.js'
import { errorCode, readFully } from './storage.js'
import type { ReadableFile, Storage } from './storage.js'

/** Files that can be opened by their path. */
type Readable = Pick<Storage, 'open'>

/** What was found in a checkpoint. */
export interface Verification {
  /** Each a sentence that names the file; empty when the checkpoint is whole. */
  readonly problems: readonly string[]
  /** Given when the manifest itself is whole. */
  readonly manifest?: Manifest
  readonly hash?: string
}

/**
 * Reads a whole checkpoint and checks it against its manifest. Nothing about a damaged checkpoint throws.
 * @param path the checkpoint's own folder
 * @example
 * const { problems } = await verifyCheckpoint(realStorage, 'runs/spark/checkpoints/step-00000420')
 */
export async function verifyCheckpoint(storage: Readable, path: string): Promise<Verification> {
  const parsed = await readManifest(storage, path)
  if (typeof parsed === 'string') return { problems: [parsed] }
  const { manifest, hash } = parsed
  const problems: string[] = []
  const named = Number(/^step-(\d+)/.exec(basename(path))?.[1])
  if (named !== manifest.step)
    problems.push(`${MANIFEST_FILE} is that of step ${manifest.step}: it does not belong in this folder`)
  for (const shard of manifest.shards) {
    const problem = await verifyShard(storage, path, shard, manifest.blockBytes)
    if (problem !== undefined) problems.push(`${shard.file} ${problem}`)
  }
  return { problems, manifest, hash }
}

// A manifest of this size describes a petabyte; more is not read into memory.
const MAX_MANIFEST_BYTES = 2 ** 28

async function readManifest(storage: Readable, path: string): Promise<ReturnType<typeof parseManifest> | string> {
  try {
    return await withFile(storage, join(path, MANIFEST_FILE), async (file) => {
      if (file.size > MAX_MANIFEST_BYTES) throw new FormatError(`${MANIFEST_FILE} has ${file.size} bytes`)
      const bytes = new Uint8Array(file.size)
      const got = await readFully(file, bytes, 0)
      return parseManifest(bytes.subarray(0, got))
    })
  } catch (error) {
    if (error instanceof FormatError) return error.message
    return `${MANIFEST_FILE} ${describeFailure(error)}`
  }
}

async function verifyShard(
  storage: Readable,
  path: string,
  shard: ShardRecord,
  blockBytes: number,
): Promise<string | undefined> {
  try {
    return await withFile(storage, join(path, shard.file), async (file) => {
      if (file.size !== shard.bytes) return `has ${file.size} bytes instead of ${shard.bytes}`
      const bad = await findBadBlocks(file, shard, blockBytes)
      if (bad.length === 0) return undefined
      const total = shard.blocks.length
      return `differs from its checksums in ${bad.length} of ${total} blocks, first at byte ${bad[0]! * blockBytes}`
    })
  } catch (error) {
    return describeFailure(error)
  }
}

/** Indices of blocks that are not what the manifest says. Each block is hashed while the next is being read. */
async function findBadBlocks(file: ReadableFile, shard: ShardRecord, blockBytes: number): Promise<number[]> {
  const room = Math.min(blockBytes, shard.bytes)
  const buffers = [new Uint8Array(room), new Uint8Array(room)]
  const readBlock = async (index: number) => {
    const length = Math.min(blockBytes, shard.bytes - index * blockBytes)
    const into = buffers[index % 2]!.subarray(0, Math.max(length, 0))
    return into.subarray(0, await readFully(file, into, index * blockBytes))
  }
  const bad: number[] = []
  let next = readBlock(0)
  for (const [index, expected] of shard.blocks.entries()) {
    const block = await next
    next = readBlock(index + 1)
    next.catch(() => undefined)
    if (sha256(block) !== expected) bad.push(index)
  }
  await next
  return bad
}

async function withFile<T>(storage: Readable, path: string, use: (file: ReadableFile) => Promise<T>): Promise<T> {
  const file = await storage.open(path)
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}

function describeFailure(error: unknown): string {
  const code = errorCode(error)
  if (code === undefined) throw error
  return code === 'ENOENT' || code === 'ENOTDIR' ? 'is missing' : `cannot be read: ${(error as Error).message}`
}
