// What the native module reports, in the words of this library: libtorch's messages are written for Python and for its
// own developers. Its facts are kept; dtypes get their names here, lists of kernels are cut, a remedy is added.
import { DisposedError, TorchError } from './errors.js'

// Element types as libtorch's messages spell them.
const SPELLINGS: Record<string, string> = {
  Byte: 'uint8',
  Char: 'int8',
  Short: 'int16',
  Int: 'int32',
  Long: 'int64',
  Half: 'float16',
  Float: 'float32',
  Double: 'float64',
  Bool: 'bool',
  BFloat16: 'bfloat16',
}
const SPELLED = new RegExp(`\\b(?:torch\\.|CPU)?(${Object.keys(SPELLINGS).join('|')})(?:Tensor|Type)?\\b`, 'g')

// The same as C++ spells them, in one message of libtorch 2.x.
const IN_CPP: Record<string, string> = {
  'unsigned char': 'uint8',
  'signed char': 'int8',
  short: 'int16',
  'short int': 'int16',
  int: 'int32',
  long: 'int64',
  'long int': 'int64',
  'c10::Half': 'float16',
  float: 'float32',
  double: 'float64',
  'c10::BFloat16': 'bfloat16',
}
const SPELLED_IN_CPP = /(to have the same dtype, but got: )(.+?) != (.+)/

interface Rewording {
  found: RegExp
  text: (...groups: string[]) => string
  remedy: string
}

const REWORDINGS: Rewording[] = [
  {
    // Followed by every backend there is and every file that registers one.
    found: /Could not run '([^']+)' with arguments from the '(\w+)' backend[^]*?(?=\n {2}arguments: |$)/,
    text: (operator, backend) => `${operator} does not run on ${backend} in this build of libtorch`,
    remedy: 'use another device, or a libtorch that has it: install one and name it in LIBTORCH',
  },
  {
    found: /Expected one of cpu, cuda.* device type at start of device string: (.*)/,
    text: (device) => `unknown device ${JSON.stringify(device)}`,
    remedy: 'use cpu, cuda, or one GPU by its number as in cuda:1',
  },
  {
    found: /^(.*(?:cannot allocate |CUDA out of memory).*)/,
    text: (message) => message,
    remedy: 'make it smaller, work in parts, or free tensors: see memoryStats()',
  },
]

/** The error for what the native module reports; `kind` is the class of native/errors.cc. */
export function makeError(kind: string, message: string, operator: string): Error {
  if (kind === 'disposed')
    return new DisposedError(message, {
      remedy: 'keep the tensor out of the scope that freed it: return it from scope(), or keep() it',
    })
  const named = operator === '' ? undefined : operator
  for (const { found, text, remedy } of REWORDINGS) {
    const match = found.exec(message)
    if (match !== null)
      return new TorchError(respell(message.replace(found, text(...match.slice(1)))), named, { remedy })
  }
  return new TorchError(respell(message), named)
}

function respell(message: string): string {
  return message
    .replace(SPELLED_IN_CPP, (_, text: string, a: string, b: string) => `${text}${IN_CPP[a] ?? a} != ${IN_CPP[b] ?? b}`)
    .replace(SPELLED, (_, name: string) => SPELLINGS[name]!)
}

/** Of a warning's text, what tells its kind: the rest is shapes. */
const KIND_LENGTH = 60
const said = new Set<string>()

/** Says a warning of libtorch, each kind once. */
export function warn(message: string): void {
  const kind = message.slice(0, KIND_LENGTH)
  if (said.has(kind)) return
  said.add(kind)
  process.emitWarning(respell(message), 'TorchWarning')
}
