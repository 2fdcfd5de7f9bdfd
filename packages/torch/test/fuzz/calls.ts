// One random call: any typed function, any operator by its name, any method of Tensor, with random arguments.
import * as torch from '@hearth/torch'
import { optional, parameterName, positional } from '../../gen/emit.js'
import { readOperators } from '../../gen/operators.js'
import type { Schema } from '../../gen/parse.js'
import { valueFor, type Random } from './values.js'

/** A call that is ready to be made; `name` and `args` are for the report. */
export interface Case {
  name: string
  args: unknown[]
  run: () => unknown
}

type Loose = (...args: unknown[]) => unknown
type Pool = readonly torch.Tensor[]

const operators = readOperators()
const byName = torch as unknown as Record<string, Loose>

function argumentsOf(schema: Schema, random: Random, pool: Pool): unknown[] {
  const args = positional(schema).map((value) => valueFor(value.type, random, pool))
  const options = optional(schema).filter(() => random.chance(0.4))
  if (options.length > 0)
    args.push(Object.fromEntries(options.map((value) => [parameterName(value), valueFor(value.type, random, pool)])))
  if (random.chance(0.05)) args.pop()
  if (random.chance(0.05)) args.push(valueFor('int', random, pool))
  return args
}

function typedFunction(random: Random, pool: Pool): Case {
  const { entry, schemas } = random.pick(operators)
  const args = argumentsOf(random.pick(schemas), random, pool)
  return { name: entry.name, args, run: () => byName[entry.name]!(...args) }
}

function method(random: Random, pool: Pool): Case {
  const { entry, schemas } = random.pick(operators)
  const [, ...args] = argumentsOf(random.pick(schemas), random, pool)
  const self = random.pick(pool) as unknown as Record<string, Loose>
  return { name: `.${entry.name}`, args: [self, ...args], run: () => self[entry.name]!(...args) }
}

function byFullName(random: Random, pool: Pool): Case {
  const schema = random.pick(random.pick(operators).schemas)
  const name = schema.overload === '' ? schema.name : `${schema.name}.${schema.overload}`
  const args = schema.arguments.map((value) => valueFor(value.type, random, pool))
  return { name: `call ${name}`, args, run: () => torch.call(name, ...args) }
}

const OTHERS: Record<string, string[]> = {
  tensor: ['int[]', 'any'],
  full: ['int[]', 'Scalar', 'any'],
  arange: ['Scalar', 'Scalar', 'any'],
  backward: ['Tensor', 'any'],
  grad: ['Tensor[]', 'Tensor[]', 'any'],
  call: ['str', 'Tensor', 'any'],
  manualSeed: ['Scalar'],
  scope: ['any'],
  noGrad: ['any'],
  keep: ['Tensor'],
  readSafetensors: ['str'],
}
const OPTIONS = ['dtype', 'device', 'shape', 'step', 'gradient', 'retainGraph', 'createGraph', 'gradOutputs'] as const
const OPTION_TYPES = ['ScalarType', 'Device', 'int[]', 'Scalar', 'Tensor', 'bool', 'bool', 'Tensor[]'] as const

function handWritten(random: Random, pool: Pool): Case {
  const name = random.pick(Object.keys(OTHERS))
  const options = () =>
    Object.fromEntries(
      OPTIONS.filter(() => random.chance(0.3)).map((key, i) => [key, valueFor(OPTION_TYPES[i]!, random, pool)]),
    )
  const args = OTHERS[name]!.map((type) =>
    type === 'any' && random.chance(0.7) ? options() : valueFor(type, random, pool),
  )
  return { name, args, run: () => byName[name]!(...args) }
}

const MEMBERS = ['shape', 'dtype', 'device', 'numel', 'nbytes', 'isContiguous', 'requiresGrad', 'grad'] as const
const METHODS = ['to', 'item', 'data', 'toArray', 'toNested', 'setRequiresGrad', 'toString', 'detach'] as const

function member(random: Random, pool: Pool): Case {
  const self = random.pick(pool) as unknown as Record<string, Loose>
  const args = [valueFor(random.pick(['ScalarType', 'bool', 'Device', 'int']), random, pool)]
  const name = random.pick([...MEMBERS, ...METHODS])
  if ((METHODS as readonly string[]).includes(name))
    return { name: `.${name}()`, args: [self, ...args], run: () => self[name]!(...args) }
  if (name === 'grad' && random.chance(0.5)) {
    const value = valueFor('Tensor?', random, pool)
    return { name: '.grad =', args: [self, value], run: () => ((self as { grad?: unknown }).grad = value) }
  }
  return { name: `.${name}`, args: [self], run: () => Reflect.get(self, name) }
}

/** A random call of a random part of the library. */
export function makeCase(random: Random, pool: Pool): Case {
  const kind = random.pick([typedFunction, typedFunction, typedFunction, method, byFullName, handWritten, member])
  return kind(random, pool)
}

/** The arguments of a case in words, for the report. */
export function describe(args: readonly unknown[]): string {
  const word = (value: unknown, depth = 0): string => {
    if (value instanceof torch.Tensor)
      return value.disposed ? 'disposed' : `${value.toString()}${value.requiresGrad ? ' grad' : ''}`
    if (Array.isArray(value))
      return depth > 2 || value.length > 12
        ? `[… ${value.length}]`
        : `[${value.map((item) => word(item, depth + 1)).join(', ')}]`
    if (typeof value === 'string') return JSON.stringify(value.slice(0, 40))
    if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype)
      return `{ ${Object.entries(value)
        .map(([key, item]) => `${key}: ${word(item, depth + 1)}`)
        .join(', ')} }`
    return typeof value === 'object' && value !== null ? Object.prototype.toString.call(value) : String(value)
  }
  return args
    .map((arg) => word(arg))
    .join(', ')
    .slice(0, 2000)
}
