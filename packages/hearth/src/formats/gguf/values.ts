// The metadata of a GGUF file: keys with typed values. Source: ggml's docs/gguf.md.

/** In the order of their ids. */
export const valueTypes = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const
export type ValueType = (typeof valueTypes)[number]
export type ItemType = Exclude<ValueType, 'array'>

/** Bytes of a number; strings and arrays have none of their own. */
export const valueBytes: Readonly<Record<Exclude<ItemType, 'string'>, number>> = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  uint64: 8,
  int64: 8,
  float64: 8,
}

export type Scalar = number | bigint | boolean | string

/** A value to be written. */
export type TypedValue = { type: ItemType; value: Scalar } | { type: 'array'; of: ItemType; items: readonly Scalar[] }

export const uint32 = (value: number): TypedValue => ({ type: 'uint32', value })
export const float32 = (value: number): TypedValue => ({ type: 'float32', value })
export const bool = (value: boolean): TypedValue => ({ type: 'bool', value })
export const string = (value: string): TypedValue => ({ type: 'string', value })
export const array = (of: ItemType, items: readonly Scalar[]): TypedValue => ({ type: 'array', of, items })
