// Where copies of checkpoints are kept, as a store of whole files by key: a folder (folder-store.ts) or object storage
// (s3-store.ts). Neither is asked for a rename: what decides whether a checkpoint is there is its manifest, which is
// stored last (copies.ts).
import { CheckpointError } from '@hearth/torch'
import { readFully } from '../storage.js'
import type { ReadableFile } from '../storage.js'

/** A file in a store. */
export interface StoredFile {
  /** Its path inside the store, as `checkpoints/step-00000420/manifest.json`. */
  readonly key: string
  readonly bytes: number
}

/** A file to be stored. */
export interface FileToStore {
  readonly bytes: number
  /** Its contents, from the beginning each time it is called. */
  blocks(): AsyncIterable<Uint8Array>
}

/**
 * A place for copies. A file that is missing is told as a system error with the code `ENOENT`, damage on the way as
 * `EIO`; a place that cannot be used is a CheckpointError that says what helps.
 */
export interface CopyStore {
  /** As a person writes it: a folder, or `s3://bucket/prefix`. */
  readonly name: string
  /** All files whose keys begin with the prefix, in no particular order; none when the place does not exist yet. */
  list(prefix: string): Promise<StoredFile[]>
  open(key: string): Promise<ReadableFile>
  /** Stores a file whole or not at all, in place of one that was there; it is durable when the promise is fulfilled. */
  put(key: string, file: FileToStore): Promise<void>
  /** Removes a file; one that is not there is no error. */
  remove(key: string): Promise<void>
}

/** More than any manifest or configuration has is not read into memory. */
const MAX_WHOLE_BYTES = 2 ** 28

/**
 * The bytes of a small file.
 * @throws CheckpointError when it is not small
 */
export async function readWhole(store: Pick<CopyStore, 'open'>, key: string): Promise<Uint8Array> {
  const file = await store.open(key)
  try {
    if (file.size > MAX_WHOLE_BYTES) throw new CheckpointError(`${key} has ${file.size} bytes: it is not of a run`)
    const bytes = new Uint8Array(file.size)
    return bytes.subarray(0, await readFully(file, bytes, 0))
  } finally {
    await file.close()
  }
}

/** Bytes in memory as a file to be stored. */
export const fileOf = (bytes: Uint8Array): FileToStore => ({
  bytes: bytes.length,
  // eslint-disable-next-line @typescript-eslint/require-await -- an iterable like that of a file on disk
  async *blocks() {
    if (bytes.length > 0) yield bytes
  },
})

const BLOCK_BYTES = 4 * 2 ** 20

/** Copies one file as it is now: what is appended meanwhile is left out. */
export async function copyFile(from: Pick<CopyStore, 'open'>, key: string, to: CopyStore): Promise<void> {
  const file = await from.open(key)
  try {
    await to.put(key, {
      bytes: file.size,
      async *blocks() {
        for (let at = 0; at < file.size;) {
          const block = new Uint8Array(Math.min(BLOCK_BYTES, file.size - at))
          const got = await readFully(file, block, at)
          if (got === 0) break
          yield block.subarray(0, got)
          at += got
        }
      },
    })
  } finally {
    await file.close()
  }
}
