// Finding and opening checkpoints: the newest that is whole, and never a damaged one. What is refused is said, always.
// Not here: turning tensors back into a training state, which is the trainer's.
import { join } from 'node:path'
import { CheckpointError, HearthError, readSafetensors } from '@hearth/torch'
import type { SafetensorsEntry, SafetensorsFile, Tensor } from '@hearth/torch'
import { listCheckpoints } from './folder.js'
import type { Manifest } from './manifest.js'
import { verifyCheckpoint } from './verify.js'
import type { Storage } from './storage.js'

/** A checkpoint whose every byte was checked. */
export interface VerifiedCheckpoint {
  /** Its folder. */
  readonly path: string
  /** Names the state; the `parent` of what is trained from it. */
  readonly hash: string
  readonly manifest: Manifest
}

/** A checkpoint that was passed over. */
export interface RefusedCheckpoint {
  readonly path: string
  readonly step: number
  /** What is wrong with it, each a sentence that names the file. */
  readonly problems: readonly string[]
}

export interface FindOptions {
  /** Told of each checkpoint that is newer than the one used and is damaged: a user must hear of it. */
  onRefused: (refused: RefusedCheckpoint) => void
  /** Checkpoints of later steps are passed over. */
  upTo?: number
}

/**
 * The newest checkpoint that is whole. Damaged ones are refused, and the one before is tried.
 * @returns undefined when the folder holds no checkpoint at all
 * @throws CheckpointError when it holds some and all are damaged: starting over is not ours to decide
 */
export function findLatest(
  storage: Storage,
  dir: string,
  options: FindOptions,
): Promise<VerifiedCheckpoint | undefined> {
  return firstUsable(storage, dir, options, (verified) => verified)
}

async function firstUsable<T>(
  storage: Storage,
  dir: string,
  { onRefused, upTo = Infinity }: FindOptions,
  open: (verified: VerifiedCheckpoint) => T,
): Promise<T | undefined> {
  const names = (await listCheckpoints(storage, dir)).filter(({ step }) => step <= upTo)
  for (const { path, step } of names) {
    try {
      return open(await verified(storage, path))
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      onRefused({ path, step, problems: error.problems })
    }
  }
  if (names.length === 0) return undefined
  throw new CheckpointError(
    `none of the ${names.length} checkpoints in ${dir} is whole; the newest is ${names[0]!.path}`,
    { remedy: 'restore the folder from a backup, or start a new run' },
  )
}

/** A checkpoint that was refused, with every problem. */
class DamagedError extends CheckpointError {
  readonly problems: readonly string[]

  constructor(path: string, problems: readonly string[], options?: ErrorOptions) {
    const remedy = 'use another checkpoint of the run'
    super(`the checkpoint ${path} is refused:\n  ${problems.join('\n  ')}`, { ...options, remedy })
    this.problems = problems
  }
}

async function verified(storage: Storage, path: string): Promise<VerifiedCheckpoint> {
  const { problems, manifest, hash } = await verifyCheckpoint(storage, path)
  if (problems.length > 0) throw new DamagedError(path, problems)
  return { path, manifest: manifest!, hash: hash! }
}

/** A checkpoint that is open: its tensors are mapped from its files when they are asked for. */
export class LoadedCheckpoint implements VerifiedCheckpoint {
  readonly path: string
  readonly hash: string
  readonly manifest: Manifest
  readonly #files: SafetensorsFile[] = []
  readonly #fileOf = new Map<string, SafetensorsFile>()

  /** @internal Use loadLatest() or loadCheckpoint(). */
  constructor({ path, hash, manifest }: VerifiedCheckpoint) {
    this.path = path
    this.hash = hash
    this.manifest = manifest
    try {
      for (const { file } of manifest.shards) this.#open(join(path, file))
    } catch (cause) {
      this.close()
      if (!(cause instanceof HearthError)) throw cause
      throw new DamagedError(path, [cause.message], { cause })
    }
  }

  get step(): number {
    return this.manifest.step
  }

  /** What the trainer saved besides tensors. */
  get meta(): Manifest['meta'] {
    return this.manifest.meta
  }

  /** Name → dtype, shape and size of every tensor. */
  get entries(): ReadonlyMap<string, SafetensorsEntry> {
    return new Map([...this.#fileOf].map(([name, file]) => [name, file.entries.get(name)!]))
  }

  /**
   * A tensor over the checkpoint's own pages, without a copy. Writing to it does not reach the file; it stays valid
   * after close() and after the checkpoint is pruned.
   * @throws CheckpointError when the checkpoint has no such tensor
   */
  tensor(name: string): Tensor {
    const file = this.#fileOf.get(name)
    if (file === undefined)
      throw new CheckpointError(`${this.path} has no tensor ${JSON.stringify(name)} among its ${this.#fileOf.size}`, {
        remedy: 'resume with the configuration that the run was started with',
      })
    return file.tensor(name)
  }

  /** Gives up the files. Tensors that were taken keep their pages. */
  close(): void {
    for (const file of this.#files) file.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #open(path: string): void {
    const file = readSafetensors(path)
    this.#files.push(file)
    for (const name of file.entries.keys()) {
      if (this.#fileOf.has(name)) throw new CheckpointError(`${path}: tensor ${JSON.stringify(name)} is there twice`)
      this.#fileOf.set(name, file)
    }
  }
}

/**
 * Verifies the newest checkpoints until one is whole, and opens that one by memory map. For checkpoints in the real
 * file system; `storage` is what they are verified through.
 * @returns undefined when the folder holds no checkpoint at all
 * @throws CheckpointError when it holds some and all are damaged
 * @example
 * using latest = await loadLatest(realStorage, 'runs/spark/checkpoints', { onRefused: warn })
 * const weight = latest?.tensor('model.embedding.weight')
 */
export function loadLatest(storage: Storage, dir: string, options: FindOptions): Promise<LoadedCheckpoint | undefined> {
  return firstUsable(storage, dir, options, (verified) => new LoadedCheckpoint(verified))
}

/**
 * Verifies and opens one checkpoint.
 * @param path the checkpoint's own folder
 * @throws CheckpointError with every problem when it is not whole
 */
export async function loadCheckpoint(storage: Storage, path: string): Promise<LoadedCheckpoint> {
  return new LoadedCheckpoint(await verified(storage, path))
}
