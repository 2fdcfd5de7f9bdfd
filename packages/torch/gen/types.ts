// What a schema type becomes in TypeScript: its spelling, how a value is handed to the native call, how a result comes back.
// Not here: which overload is chosen (emit.ts).
import type { SchemaValue } from './parse.js'

/** Arguments that have no meaning here: memory layout, pinning and the like keep the schema's default. */
const HIDDEN = new Set(['Layout', 'MemoryFormat', 'Stream', 'Storage'])
const HIDDEN_NAMES = new Set(['pin_memory', 'implicit', 'cudnn_enable', 'cudnn_enabled', 'sparse_grad'])

export interface ArgumentType {
  /** TypeScript spelling, without `undefined`. */
  spelling: string
  /** How many ways JavaScript's typeof can tell it apart: used to choose an overload. */
  shape: 'tensor' | 'number' | 'array' | 'boolean' | 'string' | 'other'
  /** Expression that hands over the value `x`. */
  pass: (x: string) => string
}

export function isHidden(value: SchemaValue): boolean {
  return HIDDEN.has(value.type.replace(/[?\d[\]]/g, '')) || HIDDEN_NAMES.has(value.name)
}

export function isOptional(value: SchemaValue): boolean {
  return value.type.endsWith('?') || value.defaultText !== undefined
}

const same = (x: string) => x
const TYPES: Record<string, ArgumentType> = {
  // `?.` for callers without types: what is not a Tensor then ends in the native call's own error.
  Tensor: { spelling: 'Tensor', shape: 'tensor', pass: (x) => `${x}?.handle` },
  'Tensor[]': { spelling: 'readonly Tensor[]', shape: 'array', pass: (x) => `handles(${x})` },
  'Tensor?[]': { spelling: 'readonly (Tensor | undefined)[]', shape: 'array', pass: (x) => `handles(${x})` },
  int: { spelling: 'number', shape: 'number', pass: same },
  float: { spelling: 'number', shape: 'number', pass: same },
  Scalar: { spelling: 'number', shape: 'number', pass: same },
  bool: { spelling: 'boolean', shape: 'boolean', pass: same },
  str: { spelling: 'string', shape: 'string', pass: same },
  'int[]': { spelling: 'readonly number[]', shape: 'array', pass: same },
  'float[]': { spelling: 'readonly number[]', shape: 'array', pass: same },
  'bool[]': { spelling: 'readonly boolean[]', shape: 'array', pass: same },
  'Scalar[]': { spelling: 'readonly number[]', shape: 'array', pass: same },
  ScalarType: { spelling: 'DType', shape: 'string', pass: (x) => `dtypeCode(${x})` },
  Device: { spelling: 'Device', shape: 'string', pass: same },
  Generator: { spelling: 'Generator', shape: 'other', pass: (x) => `${x}?.handle` },
}

/**
 * The TypeScript side of a schema argument.
 * @throws Error when the schema uses a type that has no place in the table: add it there, or drop the operator.
 */
export function argumentType(value: SchemaValue): ArgumentType {
  const bare = value.type.endsWith('?') ? value.type.slice(0, -1) : value.type
  const fixed = /^(int|float|bool|Scalar)\[(\d+)\]$/.exec(bare)
  if (fixed) return { spelling: 'number | readonly number[]', shape: 'array', pass: same }
  const type = TYPES[bare]
  if (!type) throw new Error(`no TypeScript type for ${value.type} ${value.name}`)
  return type
}

const RESULTS: Record<string, string> = {
  Tensor: 'Tensor',
  'Tensor[]': 'Tensor[]',
  int: 'number',
  float: 'number',
  bool: 'boolean',
  Scalar: 'number',
}

/** TypeScript spelling of what an operator returns. */
export function resultType(returns: SchemaValue[]): string {
  const spell = (value: SchemaValue) => {
    const spelling = RESULTS[value.type]
    if (!spelling) throw new Error(`no TypeScript type for result ${value.type}`)
    return spelling
  }
  if (returns.length === 0) return 'void'
  if (returns.length === 1) return spell(returns[0]!)
  return `[${returns.map((value) => (value.name ? `${camelCase(value.name)}: ${spell(value)}` : spell(value))).join(', ')}]`
}

/** `layer_norm` → `layerNorm`; the trailing underscore of an in-place operator stays. */
export function camelCase(name: string): string {
  return name.replace(/(?<=[a-z0-9])_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}
