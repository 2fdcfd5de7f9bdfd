// Whether a committed bank is still what was written into it: every some steps the workers hash their shares when they
// have written them, and before the next step reads the bank others hash the same shares again. Memory that flips a bit
// in between is found out, and by name. Not here: what is done then (supervised-session.ts).
import { crc32 } from 'node:zlib'
import type { Tensor } from '@hearth/torch'
import type { Supervisor } from '../cluster/index.js'
import { sha256 } from '../checkpoint/index.js'
import type { TrainTask } from './worker-tasks.js'

export interface BankHashesOptions {
  supervisor: Supervisor<TrainTask>
  /** Weights of each share, by path; their moments belong to them. */
  groups: readonly (readonly string[])[]
  /** Steps between the banks that are hashed; 0 for none. */
  every: number
  /** Steps between checkpoints: what is copied to disk must be what was written. */
  checkpointEvery: number
}

export type Hashes = Readonly<Record<string, number>>

export class BankHashes {
  readonly #options: BankHashesOptions
  /** Of the bank that was hashed last, tensor by tensor; its hash stands for all of them. */
  #known: { hash: string; hashes: Hashes } | undefined
  /** The bank that was looked at last. */
  #checked: string | undefined

  constructor(options: BankHashesOptions) {
    this.#options = options
  }

  isDue(step: number): boolean {
    const { every, checkpointEvery } = this.#options
    return every > 0 && (step % every === 0 || step % checkpointEvery === 0)
  }

  /** Hashes a bank that was just written. */
  async record(bank: number): Promise<string> {
    const hashes = await this.#hash(bank, 0)
    const hash = nameOf(hashes)
    this.#known = { hash, hashes }
    return hash
  }

  /**
   * Hashes a committed bank once more, by other workers; once for each.
   * @returns the tensors that differ, which are not known by name after another supervisor; none when all is well
   */
  async check(bank: number, hash: string): Promise<string[]> {
    if (this.#checked === hash) return []
    const hashes = await this.#hash(bank, 1)
    if (nameOf(hashes) === hash) {
      this.#checked = hash
      return []
    }
    const known = this.#known?.hash === hash ? this.#known.hashes : undefined
    return known ? Object.keys(hashes).filter((name) => hashes[name] !== known[name]) : ['a tensor']
  }

  /** @param turned by how many the shares are moved on, from worker to worker */
  async #hash(bank: number, turned: number): Promise<Hashes> {
    const { supervisor, groups } = this.#options
    const tasks = groups.map((_, i): TrainTask => ({
      kind: 'hash',
      bank,
      paths: groups[(i + turned) % groups.length]!,
    }))
    const found = (await supervisor.run('hash', tasks)) as Hashes[]
    return Object.assign({}, ...found) as Hashes
  }
}

/** CRC-32 of each: it finds every flipped bit, and is faster than a strong hash. Nobody means harm here. */
export function hashesOf(tensors: Readonly<Record<string, Tensor>>): Hashes {
  const hash = (tensor: Tensor) => {
    const { buffer, byteOffset, byteLength } = tensor.data()
    return crc32(new Uint8Array(buffer, byteOffset, byteLength))
  }
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, hash(tensor)]))
}

/** Stands for the hashes of all tensors of a bank. */
export const nameOf = (hashes: Hashes) => sha256(Buffer.from(JSON.stringify(Object.entries(hashes).sort())))
