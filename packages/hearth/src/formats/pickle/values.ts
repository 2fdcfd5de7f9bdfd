// What a pickle stream may build here: plain values, and records of tensors and their storages. No object of a class of
// the stream's own choosing ever comes into being.
import type { DType } from '@hearth/torch'

export type Value =
  null | boolean | number | bigint | string | Value[] | Tuple | Dict | StorageType | Storage | TensorRecord | Callable

export class Tuple {
  readonly items: readonly Value[]

  constructor(items: readonly Value[]) {
    this.items = items
  }
}

/** A dict or an OrderedDict. Most in a file stay empty (the hooks of each tensor), so the map is made when it is needed. */
export class Dict {
  #entries: Map<Value, Value> | undefined

  set(key: Value, value: Value): void {
    this.#entries ??= new Map()
    this.#entries.set(key, value)
  }

  get(key: Value): Value | undefined {
    return this.#entries?.get(key)
  }

  entries(): [Value, Value][] {
    return [...(this.#entries ?? [])]
  }
}

/** `torch.FloatStorage` and its like. */
export class StorageType {
  readonly dtype: DType

  constructor(dtype: DType) {
    this.dtype = dtype
  }
}

/** Numbers that lie somewhere in the file. */
export interface StorageFields {
  key: string
  dtype: DType
  /** Of the whole storage under `key`. */
  elements: number
  /** Where a view begins, in elements. */
  start: number
}

export class Storage {
  readonly key: string
  readonly dtype: DType
  readonly elements: number
  readonly start: number

  constructor({ key, dtype, elements, start }: StorageFields) {
    this.key = key
    this.dtype = dtype
    this.elements = elements
    this.start = start
  }
}

/** A tensor: a strided view of a storage. All of it is within the storage's own numbers. */
export class TensorRecord {
  readonly storage: Storage
  /** In elements, from the beginning of the storage. */
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]

  constructor(storage: Storage, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.storage = storage
    this.offset = offset
    this.shape = shape
    this.strides = strides
  }
}

/** One of the few functions that a stream may name; ours, not Python's. */
export class Callable {
  readonly name: string
  readonly call: (args: readonly Value[], refuse: Refuse) => Value

  constructor(name: string, call: (args: readonly Value[], refuse: Refuse) => Value) {
    this.name = name
    this.call = call
  }
}

/** Makes the error of what was found and what was expected in its place. */
export type Refuse = (got: string, expected: string) => Error

/** A value in a message, cut short. */
export function describe(value: Value | undefined): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
  if (value === null || typeof value !== 'object') return String(value)
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (value instanceof Tuple) return `a tuple of ${value.items.length}`
  if (value instanceof Dict) return 'a dict'
  if (value instanceof Callable) return value.name
  return value instanceof StorageType ? 'a type of storage' : value instanceof Storage ? 'a storage' : 'a tensor'
}
