// A slot whose gradients are never there together: block by block the backward pass makes them, and each is given to a
// visitor and freed. What the visitor does is the caller's: to measure their norm, or to update the weight at once
// (Lv et al. 2023, "Full Parameter Fine-tuning for Large Language Models with Limited Resources", arXiv:2306.09782).
import { HearthError, manualSeed, scope, zerosLike, type Tensor } from '@hearth/torch'
import { hashCounters } from '../data/index.js'
import { fillTree } from '../tree/index.js'
import type { Named } from './gradients.js'
import { Segments } from './segments.js'
import type { SlotOptions } from './slots.js'

/** Gets the whole gradient of one weight, float32; it is freed afterwards. */
export type GradientVisitor = (path: string, gradient: Tensor) => void

/**
 * Forward and backward of the only slot of a batch. A weight may change as soon as its gradient was visited: nothing
 * reads it again. Blocks come from the last to the first, then what lies around them.
 * @returns the loss; where it is not finite, nothing was visited
 */
export function visitGradients<Weights, Batch>(
  { objective, batches, seed, device }: SlotOptions<Weights, Batch>,
  tree: Weights,
  leaves: Named,
  batch: number,
  visit: GradientVisitor,
): { loss: number; size: number } {
  return scope(() => {
    const random = hashCounters(seed, batch, 0)
    manualSeed(random)
    const part = batches.slotAt(batch, 0, 1)
    const segments = new Segments()
    const filled = fillTree(tree, (path) => leaves[path]!)
    const loss = objective.loss(filled, part, { runBlock: segments.run, device, seed: random })
    const done = { loss: loss.item(), size: objective.size(part) }
    if (!Number.isFinite(done.loss)) return done
    const left = new Set(Object.keys(leaves))
    const isInBlock = (path: string) => path.startsWith('blocks.')
    segments.backward(loss, () => visitComplete(leaves, left, isInBlock, visit))
    visitComplete(leaves, left, () => true, visit)
    // A weight that the loss does not depend on has a gradient of zeros, as in takeGradients().
    for (const path of left) scope(() => visit(path, zerosLike(leaves[path]!).to('float32')))
    return done
  })
}

/** Those that have a gradient; a weight of a block has all of it when the block is done. */
function visitComplete(
  leaves: Named,
  left: Set<string>,
  chosen: (path: string) => boolean,
  visit: GradientVisitor,
): void {
  for (const [path, leaf] of Object.entries(leaves)) {
    if (!chosen(path)) continue
    scope(() => {
      const gradient = leaf.grad
      if (gradient === undefined) return
      leaf.grad = undefined
      if (!left.delete(path))
        throw new HearthError(`${path} got gradients from two blocks, which an update in the backward pass cannot add`)
      visit(path, gradient.to('float32'))
    })
  }
}
