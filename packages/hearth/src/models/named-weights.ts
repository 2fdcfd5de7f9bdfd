// A model's weights from named tensors, as files hold them: every tensor that is missing, of another shape or not
// expected is listed in one error, before anything is used. Where the tensors lie is the caller's (hearth/formats).
import { empty, FormatError, isFloating, scope, type DType, type Tensor } from '@hearth/torch'
import type { Family } from './family.js'
import { fileName } from './names.js'
import type { WeightSource } from './weight-source.js'

/** One tensor of a file. */
export interface StoredTensor {
  shape: readonly number[]
  dtype: DType
  /** The file, for messages. */
  file: string
  /** The tensor over the file's own memory. */
  read(): Tensor
}

export interface LoadOptions {
  /** The dtype that files have when it is not given; float16 becomes float32 then, as CPUs do not compute in it. */
  dtype?: DType
  /** Names the model in the error. */
  where?: string
  /** What stands for a weight in place of it, made of the tensor that the file has; itself when nothing is given. */
  replace?: (path: string, stored: Tensor) => Tensor | undefined
}

const show = (shape: readonly number[]) => `[${shape.join(', ')}]`

/**
 * The weights of a model from its tensors under Hugging Face's names, with or without the base prefix.
 * @throws FormatError listing all tensors that are missing, misshapen or unexpected
 */
export function loadWeights<Config, Weights>(
  family: Family<Config, Weights>,
  config: Config,
  stored: ReadonlyMap<string, StoredTensor>,
  { dtype, where = 'the model', replace }: LoadOptions = {},
): Weights {
  const { names } = family
  const bare = ![...stored.keys()].some((name) => name.startsWith(names.basePrefix))
  const problems: string[] = []
  const used = new Set<string>()
  const source: WeightSource = {
    tensor: (path, shape) => {
      const { name: full, transpose } = fileName(names, path)
      const name = bare && full.startsWith(names.basePrefix) ? full.slice(names.basePrefix.length) : full
      const tensor = stored.get(name)
      used.add(name)
      const wanted = transpose ? [...shape].reverse() : shape
      const problem = problemOf(name, tensor, wanted)
      if (problem !== undefined) problems.push(problem)
      return problem === undefined ? take(tensor!, transpose, dtype, (stored) => replace?.(path, stored)) : empty([0])
    },
  }
  const weights = family.build(config, source)
  for (const [name, { file }] of stored)
    if (!used.has(name) && name !== names.head && !names.ignored.some((pattern) => pattern.test(name)))
      problems.push(`unexpected ${name} in ${file}`)
  if (problems.length === 0) return weights
  const count = `${problems.length} problem${problems.length === 1 ? '' : 's'}`
  throw new FormatError(`${where} does not fit its ${family.name} configuration: ${count}\n  ${problems.join('\n  ')}`)
}

function problemOf(name: string, tensor: StoredTensor | undefined, shape: readonly number[]): string | undefined {
  if (tensor === undefined) return `missing ${name}, expected ${show(shape)}`
  const at = `${name} in ${tensor.file}`
  if (tensor.shape.join() !== shape.join()) return `${at}: got shape ${show(tensor.shape)}, expected ${show(shape)}`
  if (!isFloating(tensor.dtype)) return `${at}: got ${tensor.dtype}, expected floating-point numbers`
  return undefined
}

/** A view of the file's memory while the dtype stays. */
function take(
  tensor: StoredTensor,
  transpose: boolean,
  dtype: DType | undefined,
  replace: (stored: Tensor) => Tensor | undefined,
): Tensor {
  const wanted = dtype ?? (tensor.dtype === 'float16' ? 'float32' : tensor.dtype)
  return scope(() => {
    const read = tensor.read()
    const turned = transpose ? read.t() : read
    return replace(turned) ?? (tensor.dtype === wanted ? turned : turned.to(wanted).contiguous())
  })
}
