// Which layers of a model an adaptation may change, and under which names: the linear layers of its blocks, by their place
// in our tree and by Hugging Face's module, which is what PEFT's patterns are about.
import { ConfigError, Tensor } from '@hearth/torch'
import { fileName, type LanguageModel } from '../models/index.js'
import type { Linear } from '../nn/index.js'
import { suggestedName } from './suggested-name.js'

/** A linear layer of a model. */
export interface LinearModule {
  /** Place in the tree, `blocks.0.attention.query`. */
  path: string
  /** Hugging Face's module, `model.layers.0.self_attn.q_proj`. */
  module: string
  /** Its files hold the weight as (in, out). */
  transposed: boolean
  /** Outputs and inputs. */
  outputs: number
  inputs: number
  weights: Linear
}

/** `all-linear`; a regular expression that a whole name must match; or names, each of which may be the end of a name. */
export type Targets = string | readonly string[]

/** A node of a tree that linear() takes. */
export const isLinear = (node: object): node is Linear =>
  'weight' in node && node.weight instanceof Tensor && (node.weight.shape.length === 2 || 'base' in node)

/** The linear layers of the blocks, in their order. Embeddings and the head are not among them, as with PEFT. */
export function linearModules({ family, weights }: LanguageModel): LinearModule[] {
  const found: LinearModule[] = []
  const visit = (node: unknown, path: string) => {
    if (typeof node !== 'object' || node === null || node instanceof Tensor) return
    if (isLinear(node)) {
      const { name, transpose } = fileName(family.names, `${path}.weight`)
      const [outputs, inputs] = sizesOfLinear(node)
      const module = name.replace(/\.weight$/, '')
      found.push({ path, module, transposed: transpose, outputs, inputs, weights: node })
      return
    }
    for (const [key, inner] of Object.entries(node)) visit(inner, `${path}.${key}`)
  }
  visit((weights as { blocks: unknown }).blocks, 'blocks')
  return found
}

/** Outputs and inputs of a linear layer. */
export const sizesOfLinear = ({ weight, base }: Linear): [outputs: number, inputs: number] =>
  base === undefined ? (weight.shape as [number, number]) : [base.outputs, base.inputs]

/** PEFT's own choice where a configuration names none; every linear layer for families that it does not list. */
const DEFAULTS: Readonly<Record<string, readonly string[]>> = {
  llama: ['q_proj', 'v_proj'],
  mistral: ['q_proj', 'v_proj'],
  mixtral: ['q_proj', 'v_proj'],
  stablelm: ['q_proj', 'v_proj'],
  qwen2: ['q_proj', 'v_proj'],
  gptj: ['q_proj', 'v_proj'],
  gpt_neo: ['q_proj', 'v_proj'],
  gpt_neox: ['query_key_value'],
  gpt2: ['c_attn'],
}

/** What `targets` is when nobody said. */
export const defaultTargets = (family: string): Targets => DEFAULTS[family] ?? 'all-linear'

const endsWith = (name: string, end: string): boolean => name === end || name.endsWith(`.${end}`)

/** Whether a layer is meant: by Hugging Face's module or by our path. */
export function isTarget({ module, path }: LinearModule, targets: Targets): boolean {
  if (targets === 'all-linear') return true
  if (typeof targets !== 'string') return targets.some((end) => endsWith(module, end) || endsWith(path, end))
  const whole = new RegExp(`^(?:${targets})$`)
  return whole.test(module) || whole.test(path)
}

/**
 * The layers that patterns name.
 * @throws ConfigError when a pattern is no expression, names no layer, or nothing is left
 */
export function targetModules(model: LanguageModel, targets: Targets, exclude: Targets = []): LinearModule[] {
  const all = linearModules(model)
  const issues = [...patternIssues(targets, 'targets'), ...patternIssues(exclude, 'exclude')]
  if (issues.length > 0) throw new ConfigError('adapter', issues)
  const ends = [...new Set(all.map(({ module }) => module.slice(module.lastIndexOf('.') + 1)))]
  if (typeof targets !== 'string')
    for (const [i, target] of targets.entries())
      if (!all.some((each) => isTarget(each, [target])))
        issues.push({
          path: `targets.${i}`,
          message: `${JSON.stringify(target)} names no linear layer${suggestedName(target, ends)}; there are ${ends.join(', ')}`,
        })
  const chosen = all.filter((each) => isTarget(each, targets) && !isTarget(each, exclude))
  if (issues.length === 0 && chosen.length === 0)
    issues.push({
      path: 'targets',
      message: `${JSON.stringify(targets)} names no linear layer; there are ${ends.join(', ')}`,
    })
  if (issues.length > 0) throw new ConfigError('adapter', issues)
  return chosen
}

function patternIssues(targets: Targets, path: string): { path: string; message: string }[] {
  if (typeof targets !== 'string' || targets === 'all-linear') return []
  try {
    new RegExp(targets)
    return []
  } catch (error) {
    return [{ path, message: `${JSON.stringify(targets)} is no regular expression: ${(error as Error).message}` }]
  }
}

/**
 * What a table of patterns says about a layer: PEFT's rank_pattern and alpha_pattern. A pattern is the end of a name, or
 * an expression for one; the first that fits decides.
 */
export function patternValue(
  { module, path }: Pick<LinearModule, 'module' | 'path'>,
  patterns: Readonly<Record<string, number>>,
): number | undefined {
  for (const [pattern, value] of Object.entries(patterns)) {
    if (endsWith(module, pattern) || endsWith(path, pattern)) return value
    if (/^[\w.]*$/.test(pattern)) continue
    const end = new RegExp(`^(?:.*\\.)?(?:${pattern})$`)
    if (end.test(module) || end.test(path)) return value
  }
  return undefined
}
