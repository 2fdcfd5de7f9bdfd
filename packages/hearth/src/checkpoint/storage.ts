// The few operations on disk that checkpoints are made of, behind one interface: the real file system here, one that
// fails, tears and forgets on purpose in the tests. Not here: the order they must be called in (save.ts).
import { constants } from 'node:fs'
import { mkdir, open, readdir, rename, rmdir, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'

/** A file being written, from its beginning to its end. */
export interface WritableFile {
  /** Appends bytes; the number of them that were taken, which may be fewer. */
  write(bytes: Uint8Array): Promise<number>
  /** Brings everything written so far to disk. After a failure the file is lost: the system forgets what it dropped. */
  fsync(): Promise<void>
  close(): Promise<void>
}

/** A regular file being read. */
export interface ReadableFile {
  /** Bytes of the file. */
  readonly size: number
  /** Fills `into` from a place in the file; the number of bytes read, which may be fewer. */
  read(into: Uint8Array, position: number): Promise<number>
  close(): Promise<void>
}

/** Where checkpoints are kept. Failures are thrown as the system's own errors, with `code` as in `ENOSPC`. */
export interface Storage {
  /** Makes a file that must not exist yet. */
  create(path: string): Promise<WritableFile>
  /** Opens a regular file; links are not followed. */
  open(path: string): Promise<ReadableFile>
  /** Names in a folder, in no particular order; undefined when there is no such folder. */
  list(folder: string): Promise<string[] | undefined>
  /** Makes a folder and those above it. */
  makeFolder(path: string): Promise<void>
  /** Removes an empty folder. */
  removeFolder(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  /** Brings a folder's own entries to disk: without it a file that was synced may still have no name. */
  fsyncFolder(path: string): Promise<void>
}

/** The system's code of an error, as `ENOSPC`. */
export const errorCode = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code

/** Fills `into` from a place in a file; the number of bytes read, which are fewer only where the file ends. */
export async function readFully(file: ReadableFile, into: Uint8Array, position: number): Promise<number> {
  let filled = 0
  while (filled < into.length) {
    const got = await file.read(into.subarray(filled), position + filled)
    if (got === 0) break
    filled += got
  }
  return filled
}

/** The file system of this machine. */
export const realStorage: Storage = {
  create: async (path) => writable(await open(path, 'wx')),
  open: openRegular,
  async list(folder) {
    try {
      return await readdir(folder)
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined
      throw error
    }
  },
  async makeFolder(path) {
    await mkdir(path, { recursive: true })
  },
  removeFolder: rmdir,
  rename,
  unlink,
  async fsyncFolder(path) {
    const folder = await open(path, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  },
}

const writable = (handle: FileHandle): WritableFile => ({
  write: async (bytes) => (await handle.write(bytes)).bytesWritten,
  fsync: () => handle.sync(),
  close: () => handle.close(),
})

// A link or a device in place of a shard is not a checkpoint; O_NONBLOCK keeps a pipe from blocking the open.
async function openRegular(path: string): Promise<ReadableFile> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  const facts = await handle.stat()
  if (!facts.isFile()) {
    await handle.close()
    throw Object.assign(new Error(`${path} is not a regular file`), { code: 'EINVAL' })
  }
  return {
    size: facts.size,
    read: async (into, position) => (await handle.read(into, 0, into.length, position)).bytesRead,
    close: () => handle.close(),
  }
}
