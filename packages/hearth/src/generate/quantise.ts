// A model for running with its linear layers in 8 or 4 bit integers: a token costs what reading the weights costs, and they
// become that much smaller. Embeddings and norms stay floats. Not here: training on such weights (hearth/adapt).
import { HearthError, noGrad, scope, type DType, type Tensor } from '@hearth/torch'
import { linearModules } from '../adapt/index.js'
import { forwardOf, type LanguageModel } from '../models/index.js'
import { packWeight, type IntegerBits, type Linear, type PackedLinear } from '../nn/index.js'
import { leavesOf, mapTree } from '../tree/index.js'

export interface QuantiseOptions {
  /** Of what stays floats, and so of the arithmetic between the products. @default that of the weights */
  dtype?: DType
}

/**
 * Quantises the linear layers of the blocks and the head, one after the other. The model is taken over: what its layers
 * held is freed as it goes, so at most one layer is there twice.
 * @throws HearthError for a model that is not on the CPU
 * @example
 * const small = quantiseModel(loadModel('models/pythia-160m'), 8)
 */
export function quantiseModel(model: LanguageModel, bits: IntegerBits, { dtype }: QuantiseOptions = {}): LanguageModel {
  const { device, dtype: stored } = leavesOf(model.weights)[0]!
  if (device !== 'cpu')
    throw new HearthError(`integer weights run on the CPU, the model is on ${device}`, {
      remedy: 'place the model on the CPU first, or run it in bfloat16',
    })
  const shared = leavesOf(model.weights)
  const head = packHead(model, bits)
  const packed = new Map<object, PackedLinear>()
  for (const { weights } of linearModules(model)) {
    packed.set(
      weights,
      noGrad(() => packWeight(weights.weight, bits)),
    )
    weights.weight.dispose()
  }
  const tree = replaceLinears(model.weights, packed)
  const floats = noGrad(() => scope(() => mapTree(tree, (leaf: Tensor) => inDType(leaf, shared, dtype ?? stored))))
  return withHead({ ...model, weights: floats }, head)
}

/** Bytes and their scales stay; what is a float of the model takes the dtype. */
function inDType(leaf: Tensor, floats: readonly Tensor[], dtype: DType): Tensor {
  return floats.includes(leaf) ? leaf.to(dtype) : leaf
}

function packHead({ family, weights }: LanguageModel, bits: IntegerBits): Linear {
  const { weight, bias } = family.projection(weights)
  return { ...noGrad(() => packWeight(weight, bits)), ...(bias && { bias }) }
}

/** The same tree, with what stands for some of its nodes. */
function replaceLinears<Weights>(tree: Weights, packed: ReadonlyMap<object, PackedLinear>): Weights {
  if (typeof tree !== 'object' || tree === null) return tree
  const other = packed.get(tree)
  if (other !== undefined) return { ...tree, ...other }
  if (Array.isArray(tree)) return tree.map((node: unknown) => replaceLinears(node, packed)) as Weights
  if (Object.getPrototypeOf(tree) !== Object.prototype) return tree
  return Object.fromEntries(Object.entries(tree).map(([key, node]) => [key, replaceLinears(node, packed)])) as Weights
}

/** A head that is the table of embeddings too stays there as floats: a token looks up one row of it. */
function withHead(model: LanguageModel, head: Linear): LanguageModel {
  const parts = { ...model.family, projection: () => head }
  return { ...model, family: { ...parts, forward: forwardOf(parts) } }
}
