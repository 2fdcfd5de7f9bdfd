// LoRA on a tree of weights: an adapter is a pair of small matrices for some of the linear layers, and a model that wears
// it is the same tree with those beside the weights. Nothing of the base is copied or changed, so that several adapters
// share it, and changing from one to another costs nothing. DoRA and rank-stabilised LoRA are settings of the same.
// Not here: files (peft.ts), merging (merge.ts).
import { createHash } from 'node:crypto'
import { ConfigError, empty, Generator, keep, noGrad, scope, Tensor, zeros, type ConfigIssue } from '@hearth/torch'
import { hashCounters } from '../data/index.js'
import type { LanguageModel } from '../models/index.js'
import { squaredRowsOf, type Linear } from '../nn/index.js'
import { fillTree, leavesOf, mapTree } from '../tree/index.js'
import {
  defaultTargets,
  isLinear,
  patternValue,
  sizesOfLinear,
  targetModules,
  type LinearModule,
  type Targets,
} from './targets.js'

export interface LoraSettings {
  /** Rows of A and columns of B. @default 8 */
  rank?: number
  /** The change counts α / rank, or α / √rank. @default twice the rank */
  alpha?: number
  /** Share of the inputs that the adapter does not see, in training. @default 0 */
  dropout?: number
  /** Rank-stabilised: α / √rank. @default false */
  rsLora?: boolean
  /** Weight-decomposed: the lengths of the rows are trained apart. @default false */
  dora?: boolean
  /** @default PEFT's for the family */
  targets?: Targets
  exclude?: Targets
  /** Ranks and α of some layers, by the end of their name or an expression for it. */
  rankPattern?: Readonly<Record<string, number>>
  alphaPattern?: Readonly<Record<string, number>>
}

/** The trained matrices of one layer; float32 in training. */
export interface AdapterModule {
  /** (r, in) */
  a: Tensor
  /** (out, r) */
  b: Tensor
  /** DoRA: (out) */
  magnitude?: Tensor
}

/** The trained matrices by the path of their layer: a tree of tensors as any, for trainers, optimizers, checkpoints. */
export type AdapterWeights = Readonly<Record<string, AdapterModule>>

export interface Adapter {
  settings: LoraSettings
  /** What scales the change of each layer, by its path. */
  scales: Readonly<Record<string, number>>
  weights: AdapterWeights
}

/** The settings with which nothing is wrong; what is goes into `issues`. */
export function loraIssues(settings: LoraSettings): ConfigIssue[] {
  const { rank = 8, alpha = 16, dropout = 0, rankPattern = {}, alphaPattern = {} } = settings
  const issues: ConfigIssue[] = []
  const expect = (holds: boolean, path: string, value: unknown, expected: string) => {
    if (!holds) issues.push({ path, message: `must be ${expected}, got ${String(value)}` })
  }
  const isRank = (value: number) => Number.isInteger(value) && value >= 1 && value <= 65_536
  const isAlpha = (value: number) => Number.isFinite(value) && value > 0
  expect(isRank(rank), 'rank', rank, 'an integer from 1')
  expect(isAlpha(alpha), 'alpha', alpha, 'a number above 0')
  expect(dropout >= 0 && dropout < 1, 'dropout', dropout, 'a number from 0 to below 1')
  for (const [name, value] of Object.entries(rankPattern))
    expect(isRank(value), `rankPattern.${name}`, value, 'an integer from 1')
  for (const [name, value] of Object.entries(alphaPattern))
    expect(isAlpha(value), `alphaPattern.${name}`, value, 'a number above 0')
  return issues
}

/** Rank and scale of one layer. */
export function sizesOf(settings: LoraSettings, module: LinearModule): { rank: number; alpha: number; scale: number } {
  const common = settings.rank ?? 8
  const rank = patternValue(module, settings.rankPattern ?? {}) ?? common
  const alpha = patternValue(module, settings.alphaPattern ?? {}) ?? settings.alpha ?? 2 * common
  return { rank, alpha, scale: alpha / (settings.rsLora ? Math.sqrt(rank) : rank) }
}

/**
 * A new adapter that changes nothing yet: A is uniform within ±1/√in as in PEFT, B is zero; DoRA's lengths are those of
 * the rows of the weights.
 * @param options.seed an integer from 0 to 2^53 - 1; each layer's numbers depend on it and on the layer's name alone
 * @throws ConfigError listing every setting that is out of range, and every target that names no layer
 * @example
 * const adapter = createAdapter(model, { rank: 16, targets: 'all-linear' }, { seed: 1 })
 * logits(attachAdapter(model, adapter), ids)
 */
export function createAdapter(model: LanguageModel, settings: LoraSettings, { seed }: { seed: number }): Adapter {
  const issues = loraIssues(settings)
  if (issues.length > 0) throw new ConfigError('adapter', issues)
  const targets = settings.targets ?? defaultTargets(model.family.name)
  const modules = targetModules(model, targets, settings.exclude)
  const weights: Record<string, AdapterModule> = {}
  const scales: Record<string, number> = {}
  for (const module of modules) {
    const { rank, scale } = sizesOf(settings, module)
    scales[module.path] = scale
    weights[module.path] = newModule(module, rank, settings.dora === true, seed)
  }
  return { settings: { ...settings, targets }, scales, weights }
}

function newModule(module: LinearModule, rank: number, dora: boolean, seed: number): AdapterModule {
  const { path, inputs, outputs, weights } = module
  const { device } = weights.weight
  const own = createHash('sha256').update(`${seed}:lora:${path}`).digest().readUIntBE(0, 6)
  const bound = 1 / Math.sqrt(inputs)
  return noGrad(() =>
    scope(() => {
      const generator = new Generator(own)
      const a = empty([rank, inputs], { dtype: 'float32' }).uniform_({ from: -bound, to: bound, generator })
      const b = zeros([outputs, rank], { dtype: 'float32', device })
      const pair = { a: a.to({ device }), b }
      return dora ? { ...pair, magnitude: squaredRowsOf(weights).sqrt() } : pair
    }),
  )
}

export interface AttachOptions {
  /** In training: the adapter's dropout applies, with masks that are functions of this integer. */
  dropoutSeed?: number
}

/**
 * The model with an adapter on: a new tree over the same tensors, which the caller keeps. Attach another to the same base
 * to change, or none to go back. Matrices of another dtype than the model's are converted.
 * @throws ConfigError when the adapter has layers that the model lacks, or of another size
 */
export function attachAdapter<M extends LanguageModel>(model: M, adapter: Adapter, options: AttachOptions = {}): M {
  const left = new Set(Object.keys(adapter.weights))
  const issues: ConfigIssue[] = []
  const { dtype } = leavesOf(model.weights)[0]!
  const wear = (base: Linear, path: string): Linear => {
    const own = adapter.weights[path]
    if (own === undefined) return base
    left.delete(path)
    issues.push(...sizeIssues(path, base, own))
    const matrices: AdapterModule = mapTree(own, (tensor) => tensor.to(dtype))
    return { ...base, adapter: { ...matrices, ...lowRankOf(adapter, path, options), ...rowsFor(own, base) } }
  }
  const weights = mapLinear(model.weights, wear)
  for (const path of left) issues.push({ path, message: 'is no linear layer of this model' })
  if (issues.length > 0) throw new ConfigError('adapter', issues)
  return { ...model, weights }
}

function sizeIssues(path: string, base: Linear, { a, b }: AdapterModule): ConfigIssue[] {
  const [outputs, inputs] = sizesOfLinear(base)
  if (a.shape[1] === inputs && b.shape[0] === outputs && a.shape[0] === b.shape[1]) return []
  const got = `A [${a.shape.join(', ')}] and B [${b.shape.join(', ')}]`
  return [{ path, message: `has ${got}, but the layer has ${inputs} inputs and ${outputs} outputs` }]
}

function lowRankOf({ settings, scales, weights }: Adapter, path: string, { dropoutSeed }: AttachOptions) {
  const { dropout: rate = 0 } = settings
  if (rate === 0 || dropoutSeed === undefined) return { scale: scales[path]! }
  const seed = hashCounters(dropoutSeed, Object.keys(weights).indexOf(path))
  return { scale: scales[path]!, dropout: { rate, seed } }
}

// A base keeps its row lengths as long as it lives, whatever adapters come and go.
const squaredRows = new WeakMap<Tensor, Tensor>()

/** What DoRA needs to know of the base. */
function rowsFor({ magnitude }: AdapterModule, base: Linear): { squaredRows?: Tensor } {
  if (magnitude === undefined) return {}
  const rows = squaredRows.get(base.weight) ?? keep(squaredRowsOf(base))
  squaredRows.set(base.weight, rows)
  return { squaredRows: rows }
}

/** The tree with `change(layer, path)` in place of every linear layer of its blocks. */
export function mapLinear<W>(weights: W, change: (layer: Linear, path: string) => Linear): W {
  const visit = (node: unknown, path: string): unknown => {
    if (typeof node !== 'object' || node === null || node instanceof Tensor) return node
    if (Array.isArray(node)) return node.map((inner: unknown, i) => visit(inner, `${path}.${i}`))
    if (isLinear(node)) return change(node, path)
    return Object.fromEntries(Object.entries(node).map(([key, inner]) => [key, visit(inner, `${path}.${key}`)]))
  }
  const { blocks } = weights as { blocks: unknown }
  return { ...weights, blocks: visit(blocks, 'blocks') }
}

/** An adapter over other tensors: those of a trainer in place of its own. */
export function adapterWith(adapter: Adapter, tensor: (path: string) => Tensor): Adapter {
  return { ...adapter, weights: fillTree(adapter.weights, tensor) }
}
