// One place of a run's copies: the run's files first, then the checkpoint, so that whoever finds a checkpoint there can
// go on from it. Not here: when, and what becomes of a place that fails (run-copies.ts).
import { FormatError, HearthError } from '@hearth/torch'
import { copyCheckpoint, realStorage } from '../../checkpoint/index.js'
import type { CopiedCheckpoint, CopyOptions, CopyStore } from '../../checkpoint/index.js'
import { CONFIG, readIfThere, RunFiles } from './run-files.js'

export class PlaceCopier {
  readonly #store: CopyStore
  readonly #files: RunFiles
  readonly #createdAt: string
  #isOurs = false

  /** @param run its folder, and when it was created: what tells it from another of the same name */
  constructor(run: { folder: string; createdAt: string }, store: CopyStore) {
    this.#store = store
    this.#files = new RunFiles(run.folder, store)
    this.#createdAt = run.createdAt
  }

  /**
   * @param path the checkpoint's own folder
   * @throws CheckpointError when the place refuses; HearthError when it belongs to another run
   */
  async copy(path: string, options: CopyOptions): Promise<CopiedCheckpoint> {
    await this.#refuseOthers()
    await this.#files.copy()
    return await copyCheckpoint(realStorage, path, this.#store, options)
  }

  async #refuseOthers(): Promise<void> {
    if (this.#isOurs) return
    const there = await createdAt(this.#store)
    if (there !== undefined && there !== this.#createdAt)
      throw new HearthError(`${this.#store.name} holds the copies of another run, created at ${there}`, {
        remedy: 'give this run another name, or name another place: hearth resume RUN --set copies.0.to=…',
      })
    this.#isOurs = true
  }
}

/** When the run that a place holds was created; undefined when it holds none. */
export async function createdAt(store: CopyStore): Promise<string | undefined> {
  const bytes = await readIfThere(store, CONFIG)
  if (bytes === undefined) return undefined
  try {
    return String((JSON.parse(bytes.toString()) as { createdAt?: unknown }).createdAt)
  } catch (cause) {
    throw new FormatError(`${store.name}/${CONFIG} is not the configuration of a run`, { cause })
  }
}
