// Element types: their names here, their codes in libtorch, their widths, their typed arrays.
import { TorchError } from './errors.js'
import type { TypedArray } from './native.js'

/** Element type of a tensor, by libtorch's name. */
export type DType =
  'float32' | 'float64' | 'float16' | 'bfloat16' | 'int8' | 'int16' | 'int32' | 'int64' | 'uint8' | 'bool'

interface Facts {
  /** c10::ScalarType */
  code: number
  bytes: number
  floating: boolean
  array: new (length: number) => TypedArray
}

const FACTS = new Map<DType, Facts>([
  ['uint8', { code: 0, bytes: 1, floating: false, array: Uint8Array }],
  ['int8', { code: 1, bytes: 1, floating: false, array: Int8Array }],
  ['int16', { code: 2, bytes: 2, floating: false, array: Int16Array }],
  ['int32', { code: 3, bytes: 4, floating: false, array: Int32Array }],
  ['int64', { code: 4, bytes: 8, floating: false, array: BigInt64Array }],
  // 16-bit floats have no typed array of their own in Node 20: their bits are shown.
  ['float16', { code: 5, bytes: 2, floating: true, array: Uint16Array }],
  ['float32', { code: 6, bytes: 4, floating: true, array: Float32Array }],
  ['float64', { code: 7, bytes: 8, floating: true, array: Float64Array }],
  ['bool', { code: 11, bytes: 1, floating: false, array: Uint8Array }],
  ['bfloat16', { code: 15, bytes: 2, floating: true, array: Uint16Array }],
])

/** Every dtype, for validation and tables. */
export const dtypes: readonly DType[] = [...FACTS.keys()]

const BY_CODE = new Map([...FACTS].map(([dtype, { code }]) => [code, dtype]))

function factsOf(dtype: DType): Facts {
  const facts = FACTS.get(dtype)
  if (facts !== undefined) return facts
  throw new TorchError(`unknown dtype ${describe(dtype)}; known are ${dtypes.join(', ')}`)
}

// Callers without types may give anything, values that have no JSON among them.
const describe = (dtype: unknown) => (typeof dtype === 'string' ? JSON.stringify(dtype) : typeof dtype)

/** @throws TorchError when the name is not a dtype; so do the functions below. */
export const dtypeCode = (dtype: DType): number => factsOf(dtype).code
/** Bytes of one element. */
export const dtypeBytes = (dtype: DType): number => factsOf(dtype).bytes
export const isFloating = (dtype: DType): boolean => factsOf(dtype).floating
/** The typed array that `Tensor.data()` gives for this dtype. */
export const arrayOf = (dtype: DType): new (length: number) => TypedArray => factsOf(dtype).array

/** The dtype of a libtorch code; complex and quantised types have no name here. */
export function dtypeOfCode(code: number): DType {
  const dtype = BY_CODE.get(code)
  if (dtype === undefined)
    throw new TorchError(`libtorch element type ${code} is not supported; known are ${dtypes.join(', ')}`)
  return dtype
}
