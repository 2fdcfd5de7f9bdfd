// Trees of named leaves: a model's weights, its gradients, an optimizer's moments are all such trees.
// Saving, casting, freezing, counting and sharding are each one walk. Nothing here knows about models.
import { Tensor } from '@hearth/torch'

/** A leaf, or an object or array of trees. */
export type Tree<T> = T | { readonly [key: string]: Tree<T> } | readonly Tree<T>[]

/** Shape of a tree with its leaves replaced: a model's own type with gradients in place of weights, say. */
export type MapTree<S, T> = S extends Tensor ? T : { [K in keyof S]: MapTree<S[K], T> }

const join = (path: string, key: string | number): string => (path === '' ? String(key) : `${path}.${key}`)

/**
 * The same tree with `change(leaf, path)` at every tensor, in order. Numbers and the like, and entries that are missing,
 * stay as they are.
 * @example
 * const half = mapTree(weights, (weight) => weight.to('bfloat16'))
 */
export function mapTree<S, R>(tree: S, change: (leaf: Tensor, path: string) => R, path = ''): MapTree<S, R> {
  if (tree instanceof Tensor) return change(tree, path) as MapTree<S, R>
  if (typeof tree !== 'object' || tree === null) return tree as MapTree<S, R>
  if (Array.isArray(tree))
    return tree.map((node: unknown, index) => mapTree(node, change, join(path, index))) as MapTree<S, R>
  const entries = Object.entries(tree as object).map(([key, node]) => [
    key,
    mapTree(node as unknown, change, join(path, key)),
  ])
  return Object.fromEntries(entries) as MapTree<S, R>
}

/** Calls `visit(leaf, path)` at every leaf; paths are dotted, `blocks.0.attention.query.weight`. */
export function walkTree(tree: unknown, visit: (leaf: Tensor, path: string) => void): void {
  mapTree(tree, visit)
}

/** Dotted path → leaf, in the tree's own order. */
export function flattenTree(tree: unknown): Record<string, Tensor> {
  const flat: Record<string, Tensor> = {}
  walkTree(tree, (leaf, path) => (flat[path] = leaf))
  return flat
}

/** The leaves in the tree's own order. */
export function leavesOf(tree: unknown): Tensor[] {
  return Object.values(flattenTree(tree))
}

/**
 * A tree of the shape of `like` whose leaves are looked up by path.
 * @throws whatever `leaf` throws for a path it does not know
 */
export function fillTree<S>(like: S, leaf: (path: string) => Tensor): S {
  return mapTree(like, (_, path) => leaf(path)) as S
}

/** Elements of all leaves together. */
export function countParameters(tree: unknown): number {
  return leavesOf(tree).reduce((total, leaf) => total + leaf.numel, 0)
}

/** Frees every leaf. */
export function disposeTree(tree: unknown): void {
  walkTree(tree, (leaf) => leaf.dispose())
}
