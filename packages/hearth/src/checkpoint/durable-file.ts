// Writing one file so that it is on disk, with its checksums, when the call returns. Not here: what its name means to
// a reader, which is decided by the rename in save.ts.
import { sha256 } from './manifest.js'
import type { Storage, WritableFile } from './storage.js'

/** What was written. */
export interface Written {
  bytes: number
  /** Checksum of each block. */
  blocks: string[]
}

type Blocks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/**
 * Writes blocks to a new file and brings it to disk. Each block is hashed while the one before it is being written.
 * A file whose fsync fails is dropped and written anew, once: its pages are marked clean although they never reached
 * the disk, so that a second fsync would succeed and mean nothing (Rebello et al., ATC 2020).
 * @param blocks called once for each attempt
 * @throws the system's error; the file may be left behind
 */
export async function writeDurably(storage: Storage, path: string, blocks: () => Blocks): Promise<Written> {
  const first = await attempt(storage, path, blocks)
  if (first.failedFsync === undefined) return first.written
  await storage.unlink(path)
  const second = await attempt(storage, path, blocks)
  if (second.failedFsync === undefined) return second.written
  throw second.failedFsync.error
}

interface Attempt {
  written: Written
  failedFsync?: { error: unknown }
}

async function attempt(storage: Storage, path: string, blocks: () => Blocks): Promise<Attempt> {
  const file = await storage.create(path)
  try {
    const written = await writeBlocks(file, blocks())
    try {
      await file.fsync()
    } catch (error) {
      return { written, failedFsync: { error } }
    }
    return { written }
  } finally {
    await file.close()
  }
}

async function writeBlocks(file: WritableFile, blocks: Blocks): Promise<Written> {
  const written: Written = { bytes: 0, blocks: [] }
  let pending = Promise.resolve()
  try {
    for await (const block of blocks) {
      written.blocks.push(sha256(block))
      written.bytes += block.length
      await pending
      pending = writeAll(file, block)
      // A failure is met at the next `await pending`; until then it is no unhandled rejection.
      pending.catch(() => undefined)
    }
  } finally {
    await pending
  }
  return written
}

async function writeAll(file: WritableFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at))
}
