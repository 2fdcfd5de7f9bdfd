// Gradients of one slot, and their sum over slots in a fixed binary tree (DESIGN: the same bits for any number of
// workers). Not here: what a loss is (objective.ts), what an update is (optim).
import { noGrad, scope, zerosLike, type Tensor } from '@hearth/torch'

/** Named tensors: `blocks.0.attention.query.weight` → gradient. */
export type Named = Record<string, Tensor>

/** The gradients that backward() left at the leaves, which are cleared; a leaf without one counts as zero. */
export function takeGradients(leaves: Named): Named {
  const taken: Named = {}
  for (const [path, leaf] of Object.entries(leaves)) {
    taken[path] = leaf.grad ?? zerosLike(leaf)
    leaf.grad = undefined
  }
  return taken
}

const dispose = (gradients: Named) => Object.values(gradients).forEach((gradient) => gradient.dispose())

/**
 * Adds up the gradients of slots 0 to G-1 as a binary tree: ((0+1)+(2+3))+... Slots arrive in order and at most
 * log2(G) + 1 partial sums are alive, as in a binary counter. A worker that owns a power-of-two range of slots
 * computes a subtree of the same tree, so how many workers there are does not show in the bits.
 * The caller must keep() what it adds; the sum owns it from then on.
 */
export class SlotSum {
  /** Partial sums with the number of slots in each: powers of two, falling. */
  readonly #partial: { gradients: Named; slots: number }[] = []

  add(gradients: Named): void {
    let merged = { gradients, slots: 1 }
    while (this.#partial.at(-1)?.slots === merged.slots) {
      const left = this.#partial.pop()!
      addInto(left.gradients, merged.gradients)
      dispose(merged.gradients)
      merged = { gradients: left.gradients, slots: left.slots * 2 }
    }
    this.#partial.push(merged)
  }

  /** The sum of all slots; the object is empty afterwards. */
  finish(): Named {
    let { gradients } = this.#partial.pop()!
    while (this.#partial.length > 0) {
      const left = this.#partial.pop()!
      addInto(left.gradients, gradients)
      dispose(gradients)
      gradients = left.gradients
    }
    return gradients
  }

  /** Frees what was added, after a failure. */
  clear(): void {
    for (const { gradients } of this.#partial.splice(0)) dispose(gradients)
  }
}

function addInto(target: Named, other: Named): void {
  noGrad(() => scope(() => Object.keys(target).forEach((path) => target[path]!.add_(other[path]!))))
}
