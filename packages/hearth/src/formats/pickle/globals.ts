// The allow-list: every name that a file of tensors needs from Python, each with what it means here. A stream that names
// anything else is refused, for loading it the way Python does would run what it names.
import type { DType } from '@hearth/torch'
import {
  Callable,
  describe,
  Dict,
  Storage,
  StorageType,
  TensorRecord,
  Tuple,
  type Refuse,
  type Value,
} from './values.js'

const STORAGES: Record<string, DType> = {
  FloatStorage: 'float32',
  DoubleStorage: 'float64',
  HalfStorage: 'float16',
  BFloat16Storage: 'bfloat16',
  LongStorage: 'int64',
  IntStorage: 'int32',
  ShortStorage: 'int16',
  CharStorage: 'int8',
  ByteStorage: 'uint8',
  BoolStorage: 'bool',
}

const sizes = (value: Value | undefined): readonly number[] | undefined => {
  const items = value instanceof Tuple ? value.items : Array.isArray(value) ? value : undefined
  const whole = (item: Value) => typeof item === 'number' && Number.isSafeInteger(item) && item >= 0
  return items?.every(whole) ? (items as number[]) : undefined
}

/**
 * `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`: a strided view, of which every element must
 * lie in the storage, and which may not be larger than it (an expanded tensor of a few bytes would fill all memory).
 */
function rebuildTensor(args: readonly Value[], refuse: Refuse): TensorRecord {
  const [storage, offset, size, stride] = args
  const [shape, strides] = [sizes(size), sizes(stride)]
  if (!(storage instanceof Storage)) throw refuse(describe(storage), 'the storage of a tensor')
  if (typeof offset !== 'number' || !Number.isSafeInteger(offset) || offset < 0)
    throw refuse(`a storage offset of ${describe(offset)}`, 'a whole number from 0 on')
  const fits = shape !== undefined && shape.length <= 64 && strides?.length === shape.length
  if (!fits)
    throw refuse(`a size of ${describe(size)} and a stride of ${describe(stride)}`, 'whole numbers, as many of each')
  const elements = shape.reduce((product, one) => product * one, 1)
  const last = shape.reduce((sum, one, i) => sum + (one - 1) * strides[i]!, offset)
  const room = storage.elements
  if (elements > room || offset > room || (elements > 0 && last >= room) || !Number.isSafeInteger(last))
    throw refuse(
      `a tensor [${shape.join(', ')}] with strides [${strides.join(', ')}] at ${offset}`,
      `one within its storage of ${room} elements`,
    )
  return new TensorRecord(storage, offset, shape, strides)
}

function rebuildParameter([data]: readonly Value[], refuse: Refuse): Value {
  if (data instanceof TensorRecord) return data
  throw refuse(describe(data), 'the tensor of a parameter')
}

function orderedDict(args: readonly Value[], refuse: Refuse): Dict {
  const result = new Dict()
  const pairs = args[0] ?? []
  if (args.length > 1 || !Array.isArray(pairs)) throw refuse('other arguments', 'OrderedDict() of nothing or of pairs')
  for (const pair of pairs) {
    const items = pair instanceof Tuple ? pair.items : Array.isArray(pair) ? pair : []
    if (items.length !== 2) throw refuse(describe(pair), 'a pair of key and value')
    result.set(items[0]!, items[1]!)
  }
  return result
}

function torchSize(args: readonly Value[], refuse: Refuse): Value {
  const items = sizes(args[0])
  if (items === undefined) throw refuse(describe(args[0]), 'the sizes of a torch.Size')
  return new Tuple(items)
}

const functions: Record<string, Callable['call']> = {
  'torch._utils._rebuild_tensor': rebuildTensor,
  'torch._utils._rebuild_tensor_v2': rebuildTensor,
  'torch._utils._rebuild_parameter': rebuildParameter,
  'collections.OrderedDict': orderedDict,
  'torch.Size': torchSize,
}

const ALLOWED = new Map<string, Value>([
  ...Object.entries(STORAGES).map(([name, dtype]) => [`torch.${name}`, new StorageType(dtype)] as const),
  ...Object.entries(functions).map(([name, call]) => [name, new Callable(name, call)] as const),
])

/** What a name means; undefined for all that is not on the list. */
export const globalNamed = (module: string, name: string): Value | undefined => ALLOWED.get(`${module}.${name}`)
