// The tensors of a file that torch.save wrote (`.bin`, `.pt`, `.pth`, `.ckpt`), of PyTorch 1.6 or later (a zip archive) or
// of before (pickles one after the other, then the numbers). Nothing of the file is executed; tensors are mapped.
import { dtypeBytes, FormatError, MappedFile, type DType, type Tensor } from '@hearth/torch'
import { readPickle, type Persistent } from './machine.js'
import { describe, Dict, Storage, StorageType, TensorRecord, Tuple, type Refuse, type Value } from './values.js'
import { readZip, type Member } from './zip.js'

export interface PickledEntry {
  dtype: DType
  shape: readonly number[]
}

/** The pickle of a state dict: the largest models' are a few MiB. */
const MAX_PICKLE = 32 * 2 ** 20
/** What the first pickle of an old file holds. */
const MAGIC = 0x1950a86a20f9469cfc6cn
const PROTOCOL = 1001
/** Keys that training programs put around the weights. */
const WRAPPERS = ['state_dict', 'model', 'module']

/** `('storage', FloatStorage, '0', 'cpu', 1024)`, in old files with a view (key, offset, size) or None behind. */
const storageOf: Persistent = (id, refuse) => {
  const [tag, type, key, , elements, view] = id instanceof Tuple ? id.items : []
  const whole = (value: Value | undefined): value is number => Number.isSafeInteger(value) && (value as number) >= 0
  if (tag !== 'storage' || !(type instanceof StorageType) || typeof key !== 'string' || !whole(elements))
    throw refuse(describe(id), "a reference ('storage', type, key, place, elements)")
  if (view === undefined || view === null) return new Storage({ key, dtype: type.dtype, elements, start: 0 })
  const [, start, size] = view instanceof Tuple ? view.items : []
  if (!whole(start) || !whole(size)) throw refuse(describe(view), 'a view (key, offset, size)')
  if (start + size > elements) throw refuse(`a view of ${size} elements at ${start}`, `one within ${elements}`)
  return new Storage({ key, dtype: type.dtype, elements: size, start })
}

/** A file of pickled tensors that is open. */
export class PytorchFile {
  readonly path: string
  readonly entries: ReadonlyMap<string, PickledEntry>
  readonly #file: MappedFile
  readonly #records: ReadonlyMap<string, TensorRecord>
  readonly #storages: ReadonlyMap<string, Member>

  /** @internal Use readPytorch(). */
  constructor(file: MappedFile) {
    this.path = file.path
    this.#file = file
    const isZip = file.size >= 4 && file.bytes(0, 4).every((byte, i) => byte === [0x50, 0x4b, 3, 4][i])
    const { root, storages } = isZip ? readArchive(file) : readOld(file)
    this.#storages = storages
    this.#records = recordsOf(file.path, root)
    for (const [name, record] of this.#records) this.#checkStorage(name, record.storage)
    this.entries = new Map(
      [...this.#records].map(([name, { storage, shape }]) => [name, { dtype: storage.dtype, shape }]),
    )
  }

  /**
   * The tensor of that name, over the file's own pages where it is aligned to its elements and not boolean.
   * @throws FormatError when there is none
   */
  tensor(name: string): Tensor {
    const record = this.#records.get(name)
    if (record === undefined) throw new FormatError(`${this.path} has no tensor ${JSON.stringify(name)}`)
    const { storage, offset, shape, strides } = record
    const { offset: begin } = this.#storages.get(storage.key)!
    // Kernels count by booleans' bytes: other bytes than 0 and 1 become 1.
    const dtype = storage.dtype === 'bool' ? 'uint8' : storage.dtype
    const first = begin + (storage.start + offset) * dtypeBytes(dtype)
    if (isContiguous(shape, strides)) return booleans(this.#file.tensor(first, shape, dtype), storage.dtype)
    const reach = shape.reduce((sum, size, i) => sum + (size - 1) * strides[i]!, 1)
    return booleans(this.#file.tensor(first, [reach], dtype).asStrided(shape, strides), storage.dtype)
  }

  /** Gives back the memory of pages that were read; see MappedFile. */
  releasePages(): void {
    this.#file.releasePages()
  }

  /** Gives up the file. Tensors that were taken from it keep their pages. */
  close(): void {
    this.#file.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #checkStorage(name: string, { key, dtype, elements, start }: Storage): void {
    const member = this.#storages.get(key)
    const needed = (start + elements) * dtypeBytes(dtype)
    if (member !== undefined && needed <= member.size) return
    const got = member === undefined ? 'no storage' : `a storage of ${member.size} bytes`
    throw new FormatError(
      `${this.path}: tensor ${describe(name)}: got ${got} under ${describe(key)}, expected ${needed} bytes`,
      {
        remedy: 'fetch the file again from its source',
      },
    )
  }
}

const booleans = (read: Tensor, dtype: DType): Tensor => (dtype === 'bool' ? read.ne(0) : read)

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return shape.includes(0)
    expected *= shape[i]!
  }
  return true
}

interface Contents {
  root: Value
  storages: ReadonlyMap<string, Member>
}

function readArchive(file: MappedFile): Contents {
  const members = readZip(file)
  const fail = (got: string, expected: string) =>
    new FormatError(`${file.path} is not a file of torch.save: got ${got}, expected ${expected}`)
  const pickles = [...members.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name))
  if (pickles.length !== 1) throw fail(`${pickles.length} members data.pkl`, 'one')
  const folder = pickles[0]!.slice(0, -'data.pkl'.length)
  const { offset, size } = members.get(pickles[0]!)!
  if (size > MAX_PICKLE) throw fail(`a data.pkl of ${size} bytes`, `at most ${MAX_PICKLE}`)
  const order = members.get(`${folder}byteorder`)
  if (order !== undefined && Buffer.from(file.bytes(order.offset, Math.min(order.size, 16))).toString() !== 'little')
    throw fail('numbers of another byte order', 'little')
  const { value } = readPickle(file.path, file.bytes(offset, size), { persistent: storageOf })
  const data = `${folder}data/`
  const storages = [...members].filter(([name]) => name.startsWith(data))
  return { root: value, storages: new Map(storages.map(([name, member]) => [name.slice(data.length), member])) }
}

/** Files of before PyTorch 1.6: magic number, protocol, the machine's sizes, the value, the keys; then every storage. */
function readOld(file: MappedFile): Contents {
  const stream = file.bytes(0, Math.min(file.size, MAX_PICKLE))
  let start = 0
  const next = (persistent: Persistent) => {
    const { value, end } = readPickle(file.path, stream, { start, persistent })
    start = end
    return value
  }
  const none = (_: Value, refuse: Refuse) => {
    throw refuse('a reference to a storage', 'plain numbers')
  }
  const fail = (got: string, expected: string) =>
    new FormatError(`${file.path} is not a file of torch.save: got ${got}, expected ${expected}`)
  if (stream[0] !== 0x80 || next(none) !== MAGIC) throw fail('another beginning', 'a zip archive or its magic number')
  const protocol = next(none)
  if (protocol !== PROTOCOL) throw fail(`version ${describe(protocol)}`, `${PROTOCOL}`)
  const machine = next(none)
  if (machine instanceof Dict && machine.get('little_endian') === false)
    throw fail('big-endian numbers', 'little-endian')
  const widths = new Map<string, number>()
  const root = next((id, refuse) => {
    const storage = storageOf(id, refuse) as Storage
    widths.set(storage.key, dtypeBytes(storage.dtype))
    return storage
  })
  const keys = next(none)
  if (!Array.isArray(keys)) throw fail(describe(keys), 'the list of its storages')
  return { root, storages: oldStorages(file, start, keys, widths, fail) }
}

/** Each is its number of elements, in 8 bytes, and the elements. */
function oldStorages(
  file: MappedFile,
  start: number,
  keys: readonly Value[],
  widths: ReadonlyMap<string, number>,
  fail: (got: string, expected: string) => Error,
): ReadonlyMap<string, Member> {
  const storages = new Map<string, Member>()
  let at = start
  for (const key of keys) {
    const width = typeof key === 'string' ? widths.get(key) : undefined
    if (width === undefined) throw fail(`a storage ${describe(key)} that no tensor uses`, 'the storages of its tensors')
    if (at + 8 > file.size) throw fail('an end before its storages', 'a whole file')
    const head = file.bytes(at, 8)
    const elements = new DataView(head.buffer, head.byteOffset, 8).getBigInt64(0, true)
    const size = Number(elements) * width
    if (elements < 0n || size > file.size - at - 8)
      throw fail(`a storage of ${elements} elements`, 'one within the file')
    storages.set(key as string, { offset: at + 8, size })
    at += 8 + size
  }
  return storages
}

/** The tensors of a state dict by their names. */
function recordsOf(path: string, root: Value): ReadonlyMap<string, TensorRecord> {
  const tensorsOf = (value: Value | undefined) =>
    value instanceof Dict
      ? value
          .entries()
          .filter(
            (entry): entry is [string, TensorRecord] =>
              typeof entry[0] === 'string' && entry[1] instanceof TensorRecord,
          )
      : []
  const candidates = [root, ...WRAPPERS.map((name) => (root instanceof Dict ? root.get(name) : undefined))]
  const found = candidates.map(tensorsOf).find((tensors) => tensors.length > 0)
  if (found !== undefined) return new Map(found)
  throw new FormatError(`${path} holds no tensors by name: got ${describe(root)}, expected a state dict`, {
    remedy: 'save it with torch.save(model.state_dict(), path)',
  })
}

/**
 * Opens a file that torch.save wrote. Its pickle is interpreted, never executed: what a state dict does not need is
 * refused, and there is no other way in.
 * @throws FormatError naming the first thing that is malformed or not allowed
 * @throws HearthError when it cannot be read
 * @example
 * using file = readPytorch('pytorch_model.bin')
 * const weight = file.tensor('transformer.wte.weight')
 */
export function readPytorch(path: string): PytorchFile {
  const file = MappedFile.open(path)
  try {
    return new PytorchFile(file)
  } catch (error) {
    file.close()
    throw error
  }
}
