// Saving a checkpoint so that a crash, a power cut or a full disk at any instant loses nothing that was acknowledged:
// shards, manifest, fsync of each, fsync of the folder, rename, fsync of the folder above; only then does the call
// return. Not here: what the state is, when to save it and what to do when it fails, which is the trainer's.
import { join } from 'node:path'
import { CheckpointError } from '@hearth/torch'
import type { Tensor } from '@hearth/torch'
import { writeDurably } from './durable-file.js'
import { freeName, makeDurableFolder, partialOf, removeCheckpointFolder, removeLeftovers } from './folder.js'
import type { CheckpointName } from './folder.js'
import { BLOCK_BYTES, FORMAT, MANIFEST_FILE, VERSION, formatManifest } from './manifest.js'
import type { Json, Manifest, ShardRecord } from './manifest.js'
import { blocksOf, planShards } from './shard.js'
import type { Shard } from './shard.js'
import { errorCode } from './storage.js'
import type { Storage } from './storage.js'

/** A state to be saved. */
export interface CheckpointState {
  step: number
  /** Flat: dotted path → tensor, as of flattenTree(). Tensors elsewhere than in CPU memory are copied one at a time. */
  tensors: Readonly<Record<string, Tensor>>
  /** Whatever the trainer needs besides tensors: hash of the configuration, position in the data, ... */
  meta: Json
  /** The `hash` of the checkpoint that this state was trained from; null, the default, for the first of a run. */
  parent?: string | null
  /** Data bytes of a file at most. Default: one file. */
  shardBytes?: number
  /** Bytes that one write and one checksum cover. Default: 4 MiB. */
  blockBytes?: number
}

/** A checkpoint that is on disk. */
export interface SavedCheckpoint extends CheckpointName {
  /** Names the state: SHA-256 of the manifest, which holds the checksums of everything else. */
  readonly hash: string
  /** Bytes of its files. */
  readonly bytes: number
}

/**
 * Saves a state as a new checkpoint in `dir`. When the promise is fulfilled the checkpoint survives a power cut;
 * when it is rejected the checkpoints before it are as they were, nothing half-written is left, and training can go on.
 * The tensors must not change until then. One save at a time in a folder.
 * @throws CheckpointError when the disk refuses (full, read-only, failing, ...)
 * @example
 * const saved = await saveCheckpoint(realStorage, 'runs/spark/checkpoints', {
 *   step: 420, tensors: flattenTree(state), meta: { config: configHash }, parent: previous.hash,
 * })
 */
export async function saveCheckpoint(storage: Storage, dir: string, state: CheckpointState): Promise<SavedCheckpoint> {
  const { shardBytes = Infinity, blockBytes = BLOCK_BYTES } = state
  const shards = planShards(state.tensors, shardBytes)
  const size = bytesOf(state.tensors)
  return await save(storage, dir, { ...state, blockBytes, size }, async (partial) => {
    const records: ShardRecord[] = []
    for (const shard of shards) records.push(await writeShard(storage, partial, shard, blockBytes))
    return records
  })
}

/** A state that is never there as a whole. */
export interface PartedState extends Omit<CheckpointState, 'tensors' | 'shardBytes'> {
  /** Each becomes a file; its tensors may go when the next one is asked for. */
  parts: AsyncIterable<Readonly<Record<string, Tensor>>>
}

/** As saveCheckpoint(), of a state that comes part by part: the memory of one part is enough to save all of it. */
export async function saveInParts(storage: Storage, dir: string, state: PartedState): Promise<SavedCheckpoint> {
  const { blockBytes = BLOCK_BYTES } = state
  const known = { ...state, blockBytes, size: 0 }
  return await save(storage, dir, known, async (partial) => {
    const records: ShardRecord[] = []
    for await (const tensors of state.parts) {
      const [{ tensors: inOrder }] = planShards(tensors, Infinity) as [Shard]
      const shard = { file: `state-${String(records.length + 1).padStart(5, '0')}.safetensors`, tensors: inOrder }
      records.push(await writeShard(storage, partial, shard, blockBytes))
      known.size += bytesOf(tensors)
    }
    return records
  })
}

const bytesOf = (tensors: Readonly<Record<string, Tensor>>) =>
  Object.values(tensors).reduce((total, tensor) => total + tensor.nbytes, 0)

async function writeShard(storage: Storage, partial: string, shard: Shard, blockBytes: number): Promise<ShardRecord> {
  const file = await writeDurably(storage, join(partial, shard.file), () => blocksOf(shard, blockBytes))
  return { file: shard.file, ...file }
}

type Known = Omit<CheckpointState, 'tensors'> & { blockBytes: number; size: number }

/** The sequence around the files of a checkpoint; see saveCheckpoint(). */
async function save(
  storage: Storage,
  dir: string,
  state: Known,
  writeShards: (partial: string) => Promise<ShardRecord[]>,
): Promise<SavedCheckpoint> {
  checkStep(state.step)
  try {
    await makeDurableFolder(storage, dir)
    await removeLeftovers(storage, dir)
    const name = await freeName(storage, dir, state.step)
    const written = await writePartial(storage, partialOf(name.path), async (partial) => {
      const records = await writeShards(partial)
      const hash = await writeManifest(storage, partial, state, records)
      await storage.fsyncFolder(partial)
      await storage.rename(partial, name.path)
      return { hash, bytes: records.reduce((total, { bytes }) => total + bytes, 0) }
    })
    // Should this fail, the folder stays: it is whole, and only whether its name is on disk is unknown.
    await storage.fsyncFolder(dir)
    return { ...name, ...written }
  } catch (error) {
    throw explain(error, dir, state.step, state.size)
  }
}

function checkStep(step: number): void {
  if (Number.isSafeInteger(step) && step >= 0 && step < 1e15) return
  throw new CheckpointError(`a checkpoint's step must be an integer from 0 to 10^15 - 1: got ${step}`)
}

/** Runs `write` on a new folder; when it fails, takes away what it wrote as far as the disk lets it. */
async function writePartial<T>(storage: Storage, partial: string, write: (path: string) => Promise<T>): Promise<T> {
  await storage.makeFolder(partial)
  try {
    return await write(partial)
  } catch (error) {
    // The first failure is the one to report; what stays now is a leftover, which the next save removes.
    await removeCheckpointFolder(storage, partial).catch(() => undefined)
    throw error
  }
}

async function writeManifest(
  storage: Storage,
  partial: string,
  { step, parent = null, meta, blockBytes }: Known,
  shards: readonly ShardRecord[],
): Promise<string> {
  const manifest: Manifest = {
    format: FORMAT,
    version: VERSION,
    step,
    parent,
    savedAt: new Date().toISOString(),
    blockBytes,
    shards,
    meta,
  }
  const { bytes, hash } = formatManifest(manifest)
  await writeDurably(storage, join(partial, MANIFEST_FILE), () => [bytes])
  return hash
}

const REASONS: Record<string, [what: string, remedy: string]> = {
  ENOSPC: ['the disk is full', 'free space there, or keep fewer checkpoints'],
  EDQUOT: ['the disk quota is used up', 'free space there, ask for a larger quota, or keep fewer checkpoints'],
  EFBIG: ['a file would be larger than the file system or the limit (ulimit -f) allows', 'save in smaller shards'],
  EROFS: ['the file system is read-only', 'mount it writable, or choose another folder for the run'],
  EACCES: ['permission is denied', 'give this user write permission to the folder'],
  EPERM: ['permission is denied', 'give this user write permission to the folder'],
  EIO: ['the disk failed', 'check the disk (dmesg, smartctl), and copy the checkpoints that are left elsewhere'],
}

function explain(error: unknown, dir: string, step: number, size: number): unknown {
  const code = errorCode(error)
  if (code === undefined) return error
  const [what, remedy] = REASONS[code] ?? ['the system refused', 'see the cause below']
  const megabytes = (size / 1e6).toFixed(size < 1e7 ? 1 : 0)
  return new CheckpointError(
    `the checkpoint of step ${step} (${megabytes} MB) was not saved in ${dir}: ${what} (${(error as Error).message}); ` +
      'the checkpoints before it are untouched',
    { cause: error, remedy },
  )
}
