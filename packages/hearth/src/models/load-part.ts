// The weights of a part of an image model from named tensors, as diffusers' files hold them: what is missing, of another
// shape or not expected is listed in one error. Convolutions are turned to have their channels last.
// Not here: where the files lie, and checkpoints of other layouts (hearth/formats).
import { empty, FormatError, isFloating, scope, type DType, type Tensor } from '@hearth/torch'
import type { ImagePart } from './image-part.js'
import type { StoredTensor } from './named-weights.js'
import type { WeightSource } from './weight-source.js'

export interface LoadPartOptions {
  /** Of the weights; the file's own when it is not given. */
  dtype?: DType | undefined
  /** Names the part in the error. */
  where?: string
}

/** How diffusers named the layers of the autoencoder's attention until 2023. */
const FORMER: readonly (readonly [RegExp, string])[] = [
  [/\.to_q\./, '.query.'],
  [/\.to_k\./, '.key.'],
  [/\.to_v\./, '.value.'],
  [/\.to_out\.0\./, '.proj_attn.'],
]

function formerName(name: string): string {
  const found = FORMER.find(([now]) => now.test(name))
  return found ? name.replace(...(found as [RegExp, string])) : name
}

/** The shape as PyTorch has it: (out, height, width, in) → (out, in, height, width). */
const inFile = (shape: readonly number[]): readonly number[] =>
  shape.length === 4 ? [shape[0]!, shape[3]!, shape[1]!, shape[2]!] : shape

const show = (shape: readonly number[]) => `[${shape.join(', ')}]`

/** A linear layer may lie in the file as a convolution of one pixel, (out, in, 1, 1). */
function fits(got: readonly number[], shape: readonly number[]): boolean {
  const wanted = inFile(shape)
  return got.join() === wanted.join() || (shape.length === 2 && got.join() === [...wanted, 1, 1].join())
}

function problemOf(name: string, stored: StoredTensor | undefined, shape: readonly number[]): string | undefined {
  if (stored === undefined) return `missing ${name}, expected ${show(inFile(shape))}`
  const at = `${name} in ${stored.file}`
  if (!fits(stored.shape, shape)) return `${at}: got shape ${show(stored.shape)}, expected ${show(inFile(shape))}`
  return isFloating(stored.dtype) ? undefined : `${at}: got ${stored.dtype}, expected floating-point numbers`
}

function take(stored: StoredTensor, shape: readonly number[], dtype: DType | undefined): Tensor {
  return scope(() => {
    const read = stored.read().to(dtype ?? stored.dtype)
    if (shape.length === 4) return read.permute([0, 2, 3, 1]).contiguous() // (out, in, h, w) → (out, h, w, in)
    return read.shape.length === shape.length ? read : read.view(shape)
  })
}

/** The first ones in full, and how many more there are. */
function list(problems: readonly string[]): string {
  const shown = problems.slice(0, 20).join('\n  ')
  return problems.length > 20 ? `${shown}\n  and ${problems.length - 20} more` : shown
}

/**
 * The weights of a part from its tensors under diffusers' names.
 * @throws FormatError listing the tensors that are missing, misshapen or unexpected
 */
export function loadPart<Config, Weights>(
  part: ImagePart<Config, Weights>,
  config: Config,
  stored: ReadonlyMap<string, StoredTensor>,
  { dtype, where = 'the model' }: LoadPartOptions = {},
): Weights {
  const problems: string[] = []
  const used = new Set<string>()
  const source: WeightSource = {
    tensor: (path, shape) => {
      const name = stored.has(path) ? path : formerName(path)
      const tensor = stored.get(name)
      used.add(name)
      const problem = problemOf(tensor ? name : path, tensor, shape)
      if (problem !== undefined) problems.push(problem)
      return problem === undefined ? take(tensor!, shape, dtype) : empty([0])
    },
  }
  const weights = part.build(config, source)
  for (const [name, { file }] of stored)
    if (!used.has(name) && !part.ignored.some((pattern) => pattern.test(name)))
      problems.push(`unexpected ${name} in ${file}`)
  if (problems.length === 0) return weights
  const count = `${problems.length} problem${problems.length === 1 ? '' : 's'}`
  throw new FormatError(`${where} does not fit its ${part.className} configuration: ${count}\n  ${list(problems)}`)
}
