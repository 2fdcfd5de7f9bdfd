// A file system in memory that fails on purpose. It keeps what processes see (volatile) apart from what is on disk
// (durable): a power cut leaves the durable image and an arbitrary part of what was not synced, torn within writes; a
// kill leaves what processes saw. Any operation, by its number, can be killed, refused, cut short or fail its fsync.
import type { ReadableFile, Storage, WritableFile } from 'hearth/checkpoint'

export type Fault = 'kill' | 'ENOSPC' | 'EIO' | 'failed fsync' | 'short write'
export const faults: readonly Fault[] = ['kill', 'ENOSPC', 'EIO', 'failed fsync', 'short write']

/** Thrown by every operation of a process that was killed; it has no `code`, as no system call returns it. */
export class Killed extends Error {}

interface PendingWrite {
  offset: number
  bytes: Uint8Array
}

class File {
  volatile = new Uint8Array(0)
  durable = new Uint8Array(0)
  pending: PendingWrite[] = []
}

type Node = File | Folder

/** Entries that are to be set, or removed (undefined), as one. */
type Change = Map<string, Node | undefined>

class Folder {
  volatile = new Map<string, Node>()
  durable = new Map<string, Node>()
  pending: Change[] = []

  apply(change: Change): void {
    this.pending.push(change)
    enter(this.volatile, change)
  }
}

function enter(entries: Map<string, Node>, change: Change): void {
  for (const [name, node] of change)
    if (node === undefined) entries.delete(name)
    else entries.set(name, node)
}

function patched(bytes: Uint8Array, { offset, bytes: patch }: PendingWrite): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(Math.max(bytes.length, offset + patch.length))
  result.set(bytes)
  result.set(patch, offset)
  return result
}

/** Numbers in [0, 1), the same for the same seed (Mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const failure = (code: string, operation: string) => Object.assign(new Error(`${code}: ${operation}`), { code })

export class FaultStorage implements Storage {
  /** Names of the operations since the last failAt(). */
  readonly operations: string[] = []
  #root = new Folder()
  #fault: Fault | undefined
  #faultAt = -1
  #dead = false
  #full = false

  /** From now on the operation of that number, counted from 0, has the fault; a full disk stays full, the dead dead. */
  failAt(operation: number, fault: Fault): void {
    this.operations.length = 0
    this.#fault = fault
    this.#faultAt = operation
  }

  /** A new process on the same machine; nothing fails any more. */
  restart(): void {
    this.#dead = this.#full = false
    this.#fault = undefined
  }

  /** The machine loses power and starts again: what was not synced is there, or not, or torn, as the seed has it. */
  powerCut(seed: number): void {
    const random = seededRandom(seed)
    // Some cuts lose nearly everything that was not synced, some nearly nothing.
    const kept = random()
    const sector = random() < 0.5 ? 512 : 4096
    settle(this.#root, () => random() < kept, sector)
    this.restart()
  }

  /** The bytes of a file as processes see them. */
  contents(path: string): Uint8Array {
    return this.#file(path).volatile
  }

  /** Changes a file behind everyone's back, on disk as well. */
  tamper(path: string, change: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>): void {
    const file = this.#file(path)
    file.volatile = file.durable = change(file.volatile.slice())
  }

  create(path: string): Promise<WritableFile> {
    return this.#operation('create', path, () => {
      const { folder, name } = this.#locate(path)
      if (folder.volatile.has(name)) throw failure('EEXIST', path)
      const file = new File()
      folder.apply(new Map([[name, file]]))
      return {
        write: (bytes) => this.#write(file, path, bytes),
        fsync: () =>
          this.#operation(
            'fsync',
            path,
            () => syncFile(file),
            () => (file.pending = []),
          ),
        close: () => this.#operation('close', path, () => undefined),
      }
    })
  }

  open(path: string): Promise<ReadableFile> {
    return this.#operation('open', path, () => {
      const { volatile: bytes } = this.#file(path)
      return {
        size: bytes.length,
        read: (into, position) =>
          this.#operation('read', path, () => {
            const part = bytes.subarray(position, position + into.length)
            into.set(part)
            return part.length
          }),
        close: () => this.#operation('close', path, () => undefined),
      }
    })
  }

  list(path: string): Promise<string[] | undefined> {
    return this.#operation('list', path, () => {
      const node = this.#find(path)
      return node instanceof Folder ? [...node.volatile.keys()] : undefined
    })
  }

  makeFolder(path: string): Promise<void> {
    return this.#operation('makeFolder', path, () => {
      let folder = this.#root
      for (const name of partsOf(path)) {
        const there = folder.volatile.get(name) ?? new Folder()
        if (there instanceof File) throw failure('ENOTDIR', path)
        if (!folder.volatile.has(name)) folder.apply(new Map([[name, there]]))
        folder = there
      }
    })
  }

  removeFolder(path: string): Promise<void> {
    return this.#operation('removeFolder', path, () => {
      const { folder, name, node } = this.#locate(path)
      if (!(node instanceof Folder)) throw failure('ENOENT', path)
      if (node.volatile.size > 0) throw failure('ENOTEMPTY', path)
      folder.apply(new Map([[name, undefined]]))
    })
  }

  rename(from: string, to: string): Promise<void> {
    return this.#operation('rename', from, () => {
      const source = this.#locate(from)
      const target = this.#locate(to)
      if (source.node === undefined) throw failure('ENOENT', from)
      if (source.folder !== target.folder) throw failure('EXDEV', 'this model renames within one folder only')
      if (target.node instanceof Folder && target.node.volatile.size > 0) throw failure('ENOTEMPTY', to)
      source.folder.apply(
        new Map([
          [source.name, undefined],
          [target.name, source.node],
        ]),
      )
    })
  }

  unlink(path: string): Promise<void> {
    return this.#operation('unlink', path, () => {
      const { folder, name, node } = this.#locate(path)
      if (!(node instanceof File)) throw failure('ENOENT', path)
      folder.apply(new Map([[name, undefined]]))
    })
  }

  fsyncFolder(path: string): Promise<void> {
    return this.#operation('fsyncFolder', path, () => {
      const folder = this.#find(path)
      if (!(folder instanceof Folder)) throw failure('ENOENT', path)
      for (const change of folder.pending.splice(0)) enter(folder.durable, change)
    })
  }

  #write(file: File, path: string, bytes: Uint8Array): Promise<number> {
    const append = (part: Uint8Array) => {
      const write = { offset: file.volatile.length, bytes: part.slice() }
      file.pending.push(write)
      file.volatile = patched(file.volatile, write)
      return part.length
    }
    const short = () => append(bytes.subarray(0, Math.ceil(bytes.length / 3)))
    return this.#operation('write', path, () => append(bytes), undefined, short)
  }

  /** Every operation goes through here, to be counted and to meet its fault. */
  async #operation<T>(
    kind: string,
    path: string,
    run: () => T,
    failFsync: () => void = () => undefined,
    runShort: () => T = run,
  ): Promise<T> {
    await Promise.resolve()
    if (this.#dead) throw new Killed(`${kind} ${path}`)
    const name = `${kind} ${path}`
    const fault = this.operations.length === this.#faultAt ? this.#fault : undefined
    this.operations.push(name)
    this.#full ||= fault === 'ENOSPC'
    if (fault === 'kill') {
      // Half of what the last call was to do may have happened.
      this.#dead = true
      if (kind === 'write') runShort()
      throw new Killed(name)
    }
    if (this.#full && /^(create|write|makeFolder)$/.test(kind)) throw failure('ENOSPC', name)
    if (fault === 'EIO') throw failure('EIO', name)
    if (fault === 'failed fsync' && kind.startsWith('fsync')) {
      failFsync()
      throw failure('EIO', name)
    }
    return fault === 'short write' ? runShort() : run()
  }

  #locate(path: string): { folder: Folder; name: string; node: Node | undefined } {
    const parts = partsOf(path)
    const name = parts.pop()!
    const folder = this.#find(parts.join('/'))
    if (!(folder instanceof Folder)) throw failure('ENOENT', path)
    return { folder, name, node: folder.volatile.get(name) }
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root
    for (const name of partsOf(path)) node = node instanceof Folder ? node.volatile.get(name) : undefined
    return node
  }

  #file(path: string): File {
    const node = this.#find(path)
    if (!(node instanceof File)) throw failure('ENOENT', path)
    return node
  }
}

const partsOf = (path: string) => path.split('/').filter((part) => part !== '')

// Only what is pending goes to disk: what an earlier fsync failed on is not, although processes still see it.
function syncFile(file: File): void {
  for (const write of file.pending.splice(0)) file.durable = patched(file.durable, write)
}

/** What the disk holds after a power cut becomes what processes see. */
function settle(folder: Folder, survives: () => boolean, sector: number): void {
  for (const change of folder.pending.splice(0)) if (survives()) enter(folder.durable, change)
  folder.volatile = new Map(folder.durable)
  for (const node of folder.volatile.values()) {
    if (node instanceof Folder) settle(node, survives, sector)
    else settleFile(node, survives, sector)
  }
}

function settleFile(file: File, survives: () => boolean, sector: number): void {
  for (const { offset, bytes } of file.pending.splice(0))
    for (let start = 0; start < bytes.length; start += sector)
      if (survives())
        file.durable = patched(file.durable, { offset: offset + start, bytes: bytes.subarray(start, start + sector) })
  file.volatile = file.durable.slice()
}
