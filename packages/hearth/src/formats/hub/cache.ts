// The hub's cache on this machine, in the place and layout that other programs use: models--OWNER--NAME/ with blobs/ (contents
// by checksum), snapshots/COMMIT/ (links by file name) and refs/ (commits by revision). What others downloaded is found, and
// the other way round. Not here: downloading (download.ts).
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  copyFileSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { getRepoFolderName, getHFHubCachePath } from '@huggingface/hub'
import type { HubName } from './name.js'

const COMMIT = /^[0-9a-f]{40}$/

export class HubCache {
  readonly #folder: string

  /** @param root the folder of all repositories; without it HF_HUB_CACHE, HF_HOME/hub or ~/.cache/huggingface/hub */
  constructor({ kind, repo }: HubName, root: string = getHFHubCachePath()) {
    this.#folder = join(root, getRepoFolderName({ type: kind, name: repo }))
  }

  /** The commit that a revision meant when it was last asked for. */
  commitOf(revision: string): string | undefined {
    if (COMMIT.test(revision)) return existsSync(this.snapshot(revision)) ? revision : undefined
    const ref = join(this.#folder, 'refs', revision)
    const commit = existsSync(ref) ? readFileSync(ref, 'utf8').trim() : ''
    return COMMIT.test(commit) ? commit : undefined
  }

  remember(revision: string, commit: string): void {
    if (revision === commit) return
    const ref = join(this.#folder, 'refs', revision)
    mkdirSync(dirname(ref), { recursive: true })
    const partial = `${ref}.${process.pid}`
    writeFileSync(partial, commit)
    renameSync(partial, ref)
  }

  snapshot(commit: string): string {
    return join(this.#folder, 'snapshots', commit)
  }

  /** Where contents with this checksum are, or are to be. */
  blob(checksum: string): string {
    const folder = join(this.#folder, 'blobs')
    mkdirSync(folder, { recursive: true })
    return join(folder, checksum)
  }

  /** Gives contents a name in a snapshot; copies where the file system has no links. */
  link(commit: string, path: string, checksum: string): void {
    const name = join(this.snapshot(commit), path)
    if (existsSync(name)) return
    mkdirSync(dirname(name), { recursive: true })
    // A link to contents that are gone.
    rmSync(name, { force: true })
    const blob = this.blob(checksum)
    try {
      symlinkSync(relative(dirname(name), blob), name)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return
      copyFileSync(blob, name)
    }
  }
}
