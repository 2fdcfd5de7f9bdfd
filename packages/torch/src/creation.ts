// Tensors from numbers: tensor(), full(), arange(). zeros, ones, rand and the like are generated operators.
import type { Device } from './device.js'
import { arrayOf, dtypeCode, isFloating, type DType } from './dtype.js'
import { TorchError } from './errors.js'
import { bind, native, type TypedArray } from './native.js'
import { Tensor, type NestedNumbers } from './tensor.js'
import { wrap } from './wrap.js'

export interface CreationOptions {
  /** float32 when it is not given, or the typed array's own. */
  dtype?: DType
  device?: Device
}

const OWN_DTYPE = new Map<unknown, DType>([
  [Float32Array, 'float32'],
  [Float64Array, 'float64'],
  [Int8Array, 'int8'],
  [Int16Array, 'int16'],
  [Int32Array, 'int32'],
  [BigInt64Array, 'int64'],
  [Uint8Array, 'uint8'],
])

const isTypedArray = (value: unknown): value is TypedArray => ArrayBuffer.isView(value) && !(value instanceof DataView)

/** As many as the kernels of libtorch can walk. */
const MOST_DIMENSIONS = 64

/** Sizes of nested arrays, following the first element of each level. */
function shapeOf(values: NestedNumbers): number[] {
  const shape: number[] = []
  for (let level: NestedNumbers | undefined = values; Array.isArray(level); level = level[0]) {
    shape.push(level.length)
    if (shape.length > MOST_DIMENSIONS)
      throw new TorchError(`tensor(): arrays nested more than ${MOST_DIMENSIONS} deep`)
  }
  return shape
}

function flattenInto(values: NestedNumbers, shape: readonly number[], out: number[], path: number[]): void {
  if (!Array.isArray(values)) {
    if (shape.length > 0 || typeof values !== 'number') throw ragged(path, shape, values)
    out.push(values)
    return
  }
  if (values.length !== shape[0]) throw ragged(path, shape, values)
  values.forEach((value, index) => flattenInto(value, shape.slice(1), out, [...path, index]))
}

function ragged(path: number[], shape: readonly number[], got: unknown): TorchError {
  const where = path.length === 0 ? 'the values' : `element [${path.join('][')}]`
  const wanted = shape.length === 0 ? 'a number' : `an array of ${shape[0]}`
  const found = Array.isArray(got) ? `an array of ${got.length}` : typeof got
  return new TorchError(`tensor(): ${where} must be ${wanted}, got ${found}`)
}

function typed(values: number[], dtype: DType): TypedArray {
  const array = new (arrayOf(dtype))(values.length)
  if (dtype === 'bool') values.forEach((value, i) => (array[i] = value ? 1 : 0))
  else if (isFloating(dtype)) array.set(values as never)
  else values.forEach((value, i) => setInteger(array, i, value, dtype))
  return array
}

/** Fractions are cut off, as libtorch does; what does not fit is refused, where an assignment would silently wrap. */
function setInteger(array: TypedArray, index: number, value: number, dtype: DType): void {
  const whole = Math.trunc(value)
  if (Number.isFinite(whole)) array[index] = array instanceof BigInt64Array ? BigInt(whole) : whole
  if (!Number.isFinite(whole) || Number(array[index]) !== whole)
    throw new TorchError(`tensor(): ${value} does not fit in ${dtype}`)
}

/**
 * A tensor of given values, copied once.
 * @param values a number, nested arrays of one shape, or a typed array (then `shape` gives its sizes)
 * @throws TorchError when nested arrays are ragged or the shape does not fit
 * @example
 * tensor([[1, 2], [3, 4]])
 * tensor(new Float32Array(6), { shape: [2, 3] })
 */
export function tensor(
  values: NestedNumbers | TypedArray,
  options: CreationOptions & { shape?: readonly number[] } = {},
): Tensor {
  const data = isTypedArray(values) ? values : undefined
  const shape = options.shape ?? (data ? [data.length] : shapeOf(values as NestedNumbers))
  const own = data ? OWN_DTYPE.get(data.constructor) : undefined
  const wanted = options.dtype ?? own ?? 'float32'
  // 16-bit floats are rounded by libtorch, from float32; a Uint16Array is taken as their bits.
  const bits = data instanceof Uint16Array && (wanted === 'bfloat16' || wanted === 'float16')
  const made =
    bits || own === wanted ? wanted : (own ?? (wanted === 'bfloat16' || wanted === 'float16' ? 'float32' : wanted))
  const flat = data ?? typed(flatten(values as NestedNumbers, shape), made)
  const result = new Tensor(native.fromData(flat, shape, dtypeCode(made)))
  if (made === wanted && (options.device === undefined || options.device === 'cpu')) return result
  const moved = result.to({ dtype: wanted, ...(options.device === undefined ? {} : { device: options.device }) })
  result.dispose()
  return moved
}

function flatten(values: NestedNumbers, shape: readonly number[]): number[] {
  const out: number[] = []
  flattenInto(values, shapeOf(values), out, [])
  const needed = shape.reduce((product, size) => product * size, 1)
  if (out.length !== needed)
    throw new TorchError(`tensor(): ${out.length} values do not fill shape [${shape.join(', ')}]`)
  return out
}

const $full = bind('aten::full', '')
const $arange = bind('aten::arange', 'start_step')

/** A tensor of one value, float32 unless said otherwise. */
export function full(size: readonly number[], value: number, options: CreationOptions = {}): Tensor {
  return wrap($full(size, value, dtypeCode(options.dtype ?? 'float32'), undefined, options.device))
}

/** The numbers from `start` (0 when only one is given) up to but without `end`, int64 unless said otherwise. */
export function arange(start: number, end?: number, options: CreationOptions & { step?: number } = {}): Tensor {
  const [from, to] = end === undefined ? [0, start] : [start, end]
  return wrap($arange(from, to, options.step ?? 1, dtypeCode(options.dtype ?? 'int64'), undefined, options.device))
}
