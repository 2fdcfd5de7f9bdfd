// What of a run a new machine needs besides its checkpoints: the configuration, the tokenizer and the run's own tokens,
// so that it goes on without the sources; and what was measured, so that the curves go on as well.
// Tokens in a folder of the user's (data.folder) are not the run's: they stay where they are.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { copyFile, errorCode, folderStore, readWhole, realStorage } from '../../checkpoint/index.js'
import type { CopyStore } from '../../checkpoint/index.js'

export const CONFIG = 'config.json'
export const METRICS = 'metrics.jsonl'
export const TOKENIZER = 'tokenizer'
export const TOKENS = 'tokens'
/** Written last in a folder of tokens, with a checksum of each of its files: it stands for all of them. */
export const TOKENS_MANIFEST = 'manifest.json'

/** Copies what changed since the last time. */
export class RunFiles {
  readonly #folder: string
  readonly #local: CopyStore
  readonly #store: CopyStore
  /** Key → size and time of what is there. */
  readonly #copied = new Map<string, string>()

  constructor(folder: string, store: CopyStore) {
    this.#folder = folder
    this.#local = folderStore(realStorage, folder)
    this.#store = store
  }

  /** @throws CheckpointError when the place refuses */
  async copy(): Promise<void> {
    for (const index of namesIn(join(this.#folder, TOKENS))) await this.#copyTokens(`${TOKENS}/${index}`)
    for (const name of namesIn(join(this.#folder, TOKENIZER))) await this.#copyFile(`${TOKENIZER}/${name}`)
    for (const key of [METRICS, CONFIG]) if (stampOf(join(this.#folder, key)) !== undefined) await this.#copyFile(key)
  }

  async #copyTokens(folder: string): Promise<void> {
    const manifest = `${folder}/${TOKENS_MANIFEST}`
    if (this.#copied.has(manifest)) return
    const there = await readIfThere(this.#store, manifest)
    if (there?.equals(readFileSync(join(this.#folder, manifest)))) this.#copied.set(manifest, '')
    else {
      const names = namesIn(join(this.#folder, folder)).filter((name) => name !== TOKENS_MANIFEST)
      for (const name of [...names, TOKENS_MANIFEST]) await this.#copyFile(`${folder}/${name}`)
    }
  }

  async #copyFile(key: string): Promise<void> {
    const path = join(this.#folder, key)
    const stamp = stampOf(path)
    if (stamp === undefined || this.#copied.get(key) === stamp) return
    await copyFile(this.#local, key, this.#store)
    this.#copied.set(key, stamp)
  }
}

/** A small file of a place; undefined when there is none. */
export async function readIfThere(store: CopyStore, key: string): Promise<Buffer | undefined> {
  try {
    return Buffer.from(await readWhole(store, key))
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return []
    throw error
  }
}

/** Changes when the file does; undefined when there is none. */
function stampOf(path: string): string | undefined {
  const facts = statSync(path, { throwIfNoEntry: false })
  return facts && `${facts.size} ${facts.mtimeMs}`
}
