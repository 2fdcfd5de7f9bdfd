// Copies of checkpoints in a store: which there are, making one, and giving old ones up. A store has no rename, so the
// manifest decides: it is stored when all shards are, and removed before they are. What a broken upload or removal left
// behind has no manifest, is no checkpoint, and is taken away by the next copy. One writer at a time.
import { basename, join } from 'node:path'
import { CheckpointError, FormatError } from '@hearth/torch'
import { checkpointName, checkpointsNamed } from '../folder.js'
import type { CheckpointName } from '../folder.js'
import { MANIFEST_FILE, parseManifest, sha256 } from '../manifest.js'
import type { ShardRecord } from '../manifest.js'
import { errorCode, readFully } from '../storage.js'
import type { Storage } from '../storage.js'
import { verifyCheckpoint } from '../verify.js'
import { fileOf, readWhole } from './store.js'
import type { CopyStore, FileToStore, StoredFile } from './store.js'

/** Where checkpoints are in a store, as in a run's folder. */
export const CHECKPOINTS = 'checkpoints'

export interface CopyOptions {
  /** Copies that stay: the newest so many. */
  keepLast: number
  /** Read the copy back and compare every block before it counts. */
  readBack: boolean
}

/** A copy that was made, or was there. */
export interface CopiedCheckpoint {
  /** Its place in the store. */
  readonly key: string
  readonly step: number
  /** Bytes that were sent; 0 when the copy was there already. */
  readonly bytes: number
  /** Older copies that could not be removed, in words. */
  readonly problem?: string
}

/** The checkpoints in a store, newest first; `path` is the key. By their names and manifests alone: nothing is opened. */
export async function listCopies(store: CopyStore): Promise<CheckpointName[]> {
  return (await foldersIn(store)).complete
}

/**
 * Copies a checkpoint from disk. When the promise is fulfilled the copy is whole, and only then older ones are removed;
 * when it is rejected the copies before it are as they were.
 * @param path the checkpoint's own folder
 * @throws CheckpointError when the place refuses, or the checkpoint on disk is damaged
 */
export async function copyCheckpoint(
  local: Storage,
  path: string,
  store: CopyStore,
  options: CopyOptions,
): Promise<CopiedCheckpoint> {
  const bytes = await readWhole({ open: (file) => local.open(join(path, file)) }, MANIFEST_FILE)
  const { manifest, hash } = parseManifest(bytes)
  const { step, shards, blockBytes } = manifest
  const found = await foldersIn(store)
  for (const file of found.leftovers) await store.remove(file.key)
  const same = found.complete.filter((copy) => copy.step === step)
  for (const copy of same) if ((await hashOf(store, copy.path)) === hash) return { key: copy.path, step, bytes: 0 }
  const key = `${CHECKPOINTS}/${checkpointName(step, (same[0]?.revision ?? 0) + 1)}`
  for (const shard of shards)
    await store.put(`${key}/${shard.file}`, checkedFile(local, join(path, shard.file), shard, blockBytes))
  await store.put(`${key}/${MANIFEST_FILE}`, fileOf(bytes))
  if (options.readBack) await readBack(store, key)
  const problem = await prune(store, key, options.keepLast)
  const sent = shards.reduce((sum, shard) => sum + shard.bytes, bytes.length)
  return { key, step, bytes: sent, ...(problem !== undefined && { problem }) }
}

/** Those with a manifest, newest first; and the files of those without. */
async function foldersIn(store: CopyStore): Promise<{ complete: CheckpointName[]; leftovers: StoredFile[] }> {
  const files = await store.list(`${CHECKPOINTS}/`)
  const folderOf = ({ key }: StoredFile) => key.split('/')[1] ?? ''
  const whole = new Set(files.filter(({ key }) => key.endsWith(`/${MANIFEST_FILE}`)).map(folderOf))
  const ours = new Set(checkpointsNamed(files.map(folderOf)).map(({ path }) => path))
  return {
    complete: checkpointsNamed([...whole]).map((copy) => ({ ...copy, path: `${CHECKPOINTS}/${copy.path}` })),
    leftovers: files.filter((file) => ours.has(folderOf(file)) && !whole.has(folderOf(file))),
  }
}

/** The hash of a copy's manifest; undefined when that is damaged. */
async function hashOf(store: CopyStore, key: string): Promise<string | undefined> {
  try {
    return parseManifest(await readWhole(store, `${key}/${MANIFEST_FILE}`)).hash
  } catch (error) {
    if (error instanceof FormatError || errorCode(error) !== undefined) return undefined
    throw error
  }
}

/** A shard on disk, each block compared with its checksum before it is sent: damage is not copied. */
function checkedFile(local: Storage, path: string, shard: ShardRecord, blockBytes: number): FileToStore {
  return {
    bytes: shard.bytes,
    async *blocks() {
      const file = await local.open(path)
      try {
        for (const [index, expected] of shard.blocks.entries()) {
          // Not used again: a block may be on its way while the next is read.
          const block = new Uint8Array(Math.min(blockBytes, shard.bytes - index * blockBytes))
          const got = await readFully(file, block, index * blockBytes)
          if (got < block.length || sha256(block) !== expected)
            throw new CheckpointError(
              `${path} is damaged at byte ${index * blockBytes}: the checkpoint ${basename(join(path, '..'))} is not copied`,
              { remedy: 'check the disk (dmesg, smartctl); copies made before are untouched' },
            )
          yield block
        }
      } finally {
        await file.close()
      }
    },
  }
}

async function readBack(store: CopyStore, key: string): Promise<void> {
  const { problems } = await verifyCheckpoint(store, key)
  if (problems.length === 0) return
  await removeCopy(store, await store.list(`${key}/`))
  throw new CheckpointError(`${store.name}/${key} was damaged on the way, and removed:\n  ${problems.join('\n  ')}`, {
    remedy: 'check the memory and the network of both sides, and the disks there',
  })
}

/** The copy just made stays whatever its step, since it is known to be whole. */
async function prune(store: CopyStore, made: string, keepLast: number): Promise<string | undefined> {
  try {
    const going = (await listCopies(store)).filter(({ path }, index) => index >= keepLast && path !== made)
    for (const { path } of going) await removeCopy(store, await store.list(`${path}/`))
    return undefined
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error
    return `old copies cannot be removed: ${error.message}`
  }
}

async function removeCopy(store: CopyStore, files: readonly StoredFile[]): Promise<void> {
  const isManifest = ({ key }: StoredFile) => key.endsWith(`/${MANIFEST_FILE}`)
  const order = [...files].sort((a, b) => Number(isManifest(b)) - Number(isManifest(a)))
  for (const { key } of order) await store.remove(key)
}
