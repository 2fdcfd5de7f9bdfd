// Copies in a folder: another disk, a network file system. Each file is written under another name, brought to disk and
// renamed, so that a power cut leaves it whole or absent.
import { dirname, join } from 'node:path'
import { CheckpointError } from '@hearth/torch'
import { writeDurably } from '../durable-file.js'
import { makeDurableFolder } from '../folder.js'
import { errorCode } from '../storage.js'
import type { Storage } from '../storage.js'
import type { CopyStore, FileToStore, StoredFile } from './store.js'

const PARTIAL = '.partial'
/** What is wrong with one file alone: missing, a link or a folder in its place, or its part of the disk. */
const OF_ONE_FILE = ['ENOENT', 'ENOTDIR', 'ELOOP', 'EINVAL', 'EIO']

/** @param root absolute; made when the first file is stored */
export function folderStore(storage: Storage, root: string): CopyStore {
  const told = <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      throw explain(error, root)
    })
  return {
    name: root,
    // What a broken write left behind is listed as well, for those who remove it.
    list: (prefix) => told(filesUnder(storage, root, prefix)),
    open: (key) =>
      storage.open(join(root, key)).catch((error: unknown) => {
        throw OF_ONE_FILE.includes(errorCode(error) ?? '') ? error : explain(error, root)
      }),
    put: (key, file) => told(store(storage, join(root, key), file)),
    remove: (key) => told(remove(storage, root, key)),
  }
}

async function store(storage: Storage, path: string, file: FileToStore): Promise<void> {
  const folder = dirname(path)
  const partial = path + PARTIAL
  await makeDurableFolder(storage, folder)
  if (((await storage.list(folder)) ?? []).includes(partial.slice(folder.length + 1))) await storage.unlink(partial)
  await writeDurably(storage, partial, () => file.blocks())
  await storage.rename(partial, path)
  await storage.fsyncFolder(folder)
}

async function filesUnder(storage: Storage, root: string, prefix: string): Promise<StoredFile[]> {
  const visit = async (key: string): Promise<StoredFile[]> => {
    const names = await namesIn(storage, join(root, key))
    if (names === undefined) return prefix === '' || key.startsWith(prefix) ? [await sizeOf(storage, root, key)] : []
    const inner = names.map((name) => (key === '' ? name : `${key}/${name}`))
    const files: StoredFile[] = []
    for (const each of inner)
      if (each.startsWith(prefix) || prefix.startsWith(`${each}/`)) files.push(...(await visit(each)))
    return files
  }
  return (await storage.list(root)) === undefined ? [] : visit('')
}

/** Undefined for what is no folder. */
async function namesIn(storage: Storage, path: string): Promise<string[] | undefined> {
  try {
    return await storage.list(path)
  } catch (error) {
    if (errorCode(error) === 'ENOTDIR') return undefined
    throw error
  }
}

async function sizeOf(storage: Storage, root: string, key: string): Promise<StoredFile> {
  const file = await storage.open(join(root, key))
  await file.close()
  return { key, bytes: file.size }
}

async function remove(storage: Storage, root: string, key: string): Promise<void> {
  const path = join(root, key)
  try {
    await storage.unlink(path)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
    return
  }
  const folder = dirname(path)
  if (folder !== root && (await storage.list(folder))?.length === 0) await storage.removeFolder(folder)
  await storage.fsyncFolder((await storage.list(folder)) === undefined ? dirname(folder) : folder)
}

const REMEDIES: Record<string, string> = {
  ENOSPC: 'free space there, or keep fewer checkpoints',
  EDQUOT: 'free space there, ask for a larger quota, or keep fewer checkpoints',
  EROFS: 'mount it writable, or name another folder in copies',
  EACCES: 'give this user write permission to the folder, or name another in copies',
  EPERM: 'give this user write permission to the folder, or name another in copies',
  ENOTDIR: 'a file is in the way: name a folder in copies',
  EIO: 'check the disk, or the network it is reached by',
  ESTALE: 'mount the network file system again',
}

function explain(error: unknown, root: string): unknown {
  const code = errorCode(error)
  if (code === undefined || error instanceof CheckpointError) return error
  const remedy = REMEDIES[code] ?? 'see whether the folder can be read and written'
  return new CheckpointError(`${root} cannot be used: ${(error as Error).message}`, { cause: error, remedy })
}
