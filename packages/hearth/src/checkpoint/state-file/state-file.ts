// The state file: all training state (master weights, optimizer moments, position) in shared memory, in banks. A step
// reads the committed bank and writes another, and a commit publishes that one: a worker that dies at any instant leaves
// a consistent bank behind, and its successor maps it and goes on. Each bank is a safetensors image.
// Two banks take turns. A third is used while a durable checkpoint copies one of them, so that training never waits.
// Not here: durable checkpoints (save.ts), who writes which tensor (hearth/cluster).
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import {
  CheckpointError,
  dtypeBytes,
  formatSafetensorsHeader,
  MappedFile,
  readSafetensorsHeader,
  type DType,
  type SafetensorsDescription,
  type SafetensorsEntry,
  type Tensor,
} from '@hearth/torch'
import type { Json } from '../manifest.js'
import { errorCode } from '../storage.js'
import {
  FIRST_BANK,
  readCommitted,
  readIdentity,
  writeCommitted,
  writeIdentity,
  type Committed,
  type Identity,
} from './header.js'

/** Two that take turns, and one that may be held by a copy. */
const BANKS = 3
const PAGE = 4096
const wholePages = (bytes: number) => Math.ceil(bytes / PAGE) * PAGE

export interface CreateStateFile {
  /** Every tensor of a bank, in the order of its bytes. */
  tensors: readonly SafetensorsDescription[]
  /** Hash of the configuration that the state belongs to. */
  config: string
  /** @default 3 */
  banks?: number
}

/** A state file that is open in this process; any number of processes may have it open. */
export class StateFile {
  readonly path: string
  readonly #file: number
  readonly #memory: MappedFile
  readonly banks: number
  readonly #stride: number
  readonly #bankBytes: number
  readonly #entries: ReadonlyMap<string, SafetensorsEntry>

  private constructor(path: string, file: number, memory: MappedFile, { banks, bankBytes }: Identity) {
    this.path = path
    this.#file = file
    this.#memory = memory
    this.banks = banks
    this.#stride = wholePages(bankBytes)
    this.#bankBytes = bankBytes
    // Read, not mapped: a view would keep all of the file mapped until the garbage collector comes by.
    const image = (offset: number, length: number) => {
      const bytes = new Uint8Array(length)
      return bytes.subarray(0, readSync(file, bytes, 0, length, FIRST_BANK + offset))
    }
    this.#entries = readSafetensorsHeader(path, bankBytes, image).entries
  }

  /**
   * Makes a state file with room for all banks; their tensors are zeros and nothing is committed.
   * @throws CheckpointError when there is no room for it
   */
  static create(path: string, { tensors, config, banks = BANKS }: CreateStateFile): StateFile {
    const header = formatSafetensorsHeader(path, tensors, {})
    const bankBytes = tensors.reduce((sum, tensor) => sum + bytesOf(tensor), header.length)
    const stride = wholePages(bankBytes)
    try {
      const file = openSync(path, 'wx+', 0o600)
      try {
        writeIdentity(file, { config, banks, bankBytes })
        // Written, not left as a hole: a page that has no room when it is first touched would end the process.
        writeZeros(file, FIRST_BANK, banks * stride)
        for (let bank = 0; bank < banks; bank++) writeSync(file, header, 0, header.length, FIRST_BANK + bank * stride)
      } finally {
        closeSync(file)
      }
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') rmSync(path, { force: true })
      throw explain(error, path, FIRST_BANK + banks * stride)
    }
    return StateFile.open(path, { config })
  }

  /**
   * @param options.config expected hash of the configuration
   * @throws CheckpointError when it is not a state file, or of another configuration or version
   */
  static open(path: string, { config }: { config: string }): StateFile {
    const file = openSync(path, 'r+')
    try {
      const identity = readIdentity(file, path)
      if (identity.config !== config)
        throw new CheckpointError(`${path} is the state of another run or configuration`, {
          remedy: 'remove it and resume the run from its last checkpoint',
        })
      return new StateFile(path, file, MappedFile.open(path, { shared: true }), identity)
    } catch (error) {
      closeSync(file)
      throw error
    }
  }

  /** The newest committed state; undefined before the first commit. */
  get committed(): Committed | undefined {
    return readCommitted(this.#file)
  }

  /** Names of the tensors of every bank. */
  get names(): string[] {
    return [...this.#entries.keys()]
  }

  /** The tensors of a bank, over shared memory: the caller disposes of them. */
  bank(index: number): Record<string, Tensor> {
    const tensors: Record<string, Tensor> = {}
    for (const name of this.#entries.keys()) tensors[name] = this.tensor(index, name)
    return tensors
  }

  /** One tensor of a bank, over shared memory. */
  tensor(index: number, name: string): Tensor {
    const { byteOffset, shape, dtype } = this.#entries.get(name)!
    return this.#memory.tensor(FIRST_BANK + index * this.#stride + byteOffset, shape, dtype)
  }

  /** All tensors of a bank as one, over shared memory: for what is passed on or added as a whole. */
  flat(index: number, dtype: DType): Tensor {
    const first = Math.min(...[...this.#entries.values()].map(({ byteOffset }) => byteOffset))
    const elements = (this.#bankBytes - first) / dtypeBytes(dtype)
    return this.#memory.tensor(FIRST_BANK + index * this.#stride + first, [elements], dtype)
  }

  /** A bank that a step may write, neither the committed one nor the one that a copy holds; undefined when none is left. */
  free(held?: number): number | undefined {
    const committed = this.committed?.bank
    return Array.from({ length: this.banks }, (_, bank) => bank).find((bank) => bank !== committed && bank !== held)
  }

  /** Publishes what was written into `bank` as the state after `step` steps. One process at a time. */
  commit(step: number, bank: number, meta: Json): Committed {
    const committed = { sequence: (this.committed?.sequence ?? 0) + 1, step, bank, meta }
    writeCommitted(this.#file, committed)
    return committed
  }

  /** Gives up the file; tensors that were taken from it keep their pages. */
  close(): void {
    this.#memory.close()
    closeSync(this.#file)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

const bytesOf = ({ dtype, shape }: SafetensorsDescription) => shape.reduce((n, size) => n * size, dtypeBytes(dtype))

const ZEROS = Buffer.alloc(1 << 22)

function writeZeros(file: number, start: number, length: number): void {
  for (let at = 0; at < length; at += ZEROS.length)
    writeSync(file, ZEROS, 0, Math.min(ZEROS.length, length - at), start + at)
}

function explain(error: unknown, path: string, bytes: number): unknown {
  const code = errorCode(error)
  if (code !== 'ENOSPC' && code !== 'EFBIG' && code !== 'EDQUOT') return error
  return new CheckpointError(`${path} needs ${(bytes / 1e6).toFixed(0)} MB, and there is no room for it`, {
    cause: error,
    remedy: 'give more shared memory (docker run --shm-size=...), or name a folder with room: HEARTH_STATE=/path',
  })
}
