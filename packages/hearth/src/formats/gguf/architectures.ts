// Every architecture of GGUF files that is known, and the translation of its tensors' names and numbers, both ways.
import { noGrad, scope, stack, type Tensor } from '@hearth/torch'
import type { StoredTensor } from '../../models/index.js'
import type { Architecture, Change, Heads, Rule } from './architecture.js'
import type { GgufFile } from './gguf-file.js'
import { gpt2, gptneox, stablelm } from './gpt-kin.js'
import { llama, qwen2, qwen3 } from './llama-kin.js'

export const architectures: readonly Architecture[] = [llama, qwen2, qwen3, gptneox, gpt2, stablelm]

/** A name with its numbers taken out: `blk.3.attn_q.weight` is `blk.*.attn_q`, 3 and `weight`. */
function taken(name: string): { pattern: string; numbers: string[]; leaf: string } {
  const leafAt = name.lastIndexOf('.')
  const module = name.slice(0, leafAt)
  const numbers = [...module.matchAll(/\.(\d+)(?=\.|$)/g)].map(([, number]) => number!)
  let seen = 0
  const pattern = module.replace(/\.\d+(?=\.|$)/g, () => (seen++ === 0 ? '.*' : '.#'))
  return { pattern, numbers, leaf: name.slice(leafAt + 1) }
}

const filled = (pattern: string, [block = '', part = '']: readonly string[], leaf: string): string =>
  `${pattern.replace('*', block).replace('#', part)}.${leaf}`

/** A tensor of a GGUF file, of one tensor of Hugging Face's or, stacked, of several. */
export interface Translated {
  name: string
  shape: readonly number[]
  /** In the order of their numbers. */
  parts: StoredTensor[]
  read(): Tensor
}

const reversed = (change: Change | undefined, shape: readonly number[]): readonly number[] =>
  change?.transposes && shape.length === 2 ? [...shape].reverse() : shape

/**
 * The tensors of a GGUF file of a model's weights, in the model's order.
 * @param unnamed is told of every weight that the architecture has no name for
 */
export function toGguf(
  { rules }: Architecture,
  weights: ReadonlyMap<string, StoredTensor>,
  sizes: Heads,
  unnamed: (name: string) => void,
): Translated[] {
  const found = new Map<string, { rule: Rule; stacked: boolean; parts: StoredTensor[] }>()
  for (const [name, stored] of weights) {
    const { pattern, numbers, leaf } = taken(name)
    const rule = rules.find(({ huggingFace }) => huggingFace === pattern)
    if (rule === undefined) {
      unnamed(name)
      continue
    }
    const own = filled(rule.gguf, numbers, leaf)
    const group = found.get(own) ?? { rule, stacked: rule.huggingFace.includes('#'), parts: [] }
    group.parts.push(stored)
    found.set(own, group)
  }
  return [...found].map(
    ([
      name,
      {
        rule: { change },
        stacked,
        parts,
      },
    ]) => {
      const one = reversed(change, parts[0]!.shape)
      const arranged = (part: StoredTensor) => change?.toGguf(part.read(), sizes) ?? part.read()
      const read = () => (stacked ? stack(parts.map(arranged)) : arranged(parts[0]!))
      return { name, shape: stacked ? [parts.length, ...one] : one, parts, read: () => noGrad(() => scope(read)) }
    },
  )
}

/** The tensors of a GGUF file under Hugging Face's names; those that stand for configuration are left out. */
export function toHuggingFace({ rules }: Architecture, file: GgufFile, sizes: Heads): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>()
  for (const [name, { shape }] of file.entries) {
    const { pattern, numbers, leaf } = taken(name)
    const rule = rules.find(({ gguf }) => gguf === pattern)
    if (rule === undefined && name === 'rope_freqs.weight') continue
    const { change, huggingFace = name.slice(0, -leaf.length - 1) } = rule ?? {}
    const arranged = (x: Tensor) => change?.toHuggingFace(x, sizes) ?? x
    const stored = { dtype: file.dtypeOf(name), file: file.path }
    if (!huggingFace.includes('#')) {
      const read = () => noGrad(() => scope(() => arranged(file.tensor(name))))
      tensors.set(filled(huggingFace, numbers, leaf), { ...stored, shape: reversed(change, shape), read })
      continue
    }
    const [parts = 0, ...rest] = shape
    for (let part = 0; part < parts; part++) {
      const read = () => noGrad(() => scope(() => arranged(file.tensor(name).select(0, part))))
      tensors.set(filled(huggingFace, [...numbers, String(part)], leaf), { ...stored, shape: rest, read })
    }
  }
  return tensors
}
