// Activation checkpointing (Chen et al. 2016, arXiv:1604.06174): blocks run without recording, only their inputs are
// kept, and the backward pass runs each block again. Arranged here around several backward passes rather than inside
// one, so that nothing calls JavaScript from the engine's threads; sharding and offload hook into the same schedule.
import { backward, noGrad, scope, type Tensor } from '@hearth/torch'

/** Runs one block of a model on its input. */
export type RunBlock = (block: (x: Tensor) => Tensor, x: Tensor) => Tensor

/** The plain way: every activation is kept. */
export const keepActivations: RunBlock = (block, x) => block(x)

interface Segment {
  block: (x: Tensor) => Tensor
  input: Tensor
  output: Tensor
}

/** The blocks of one forward pass, in order. Use one object for one loss. */
export class Segments {
  readonly #segments: Segment[] = []

  /** Gives to the model in place of `keepActivations`. */
  readonly run: RunBlock = (block, input) => {
    const output = noGrad(() => scope(() => block(input)))
      .detach()
      .setRequiresGrad(true)
    this.#segments.push({ block, input, output })
    return output
  }

  /**
   * Adds the gradients of `loss` to `.grad` of the weights, running the blocks again from the last to the first.
   * Bit for bit what backward() gives where the blocks are deterministic.
   * @param afterBlock called when a block's weights have all of their gradients
   */
  backward(loss: Tensor, afterBlock: () => void = () => undefined): void {
    backward(loss)
    for (const { block, input, output } of this.#segments.splice(0).reverse()) {
      const upstream = output.grad
      if (upstream === undefined) continue
      output.grad = undefined
      scope(() => {
        const again = input.detach().setRequiresGrad(true)
        backward(block(again), { gradient: upstream })
        // What lies before the block: its own graph, or the output of the block before, which is a leaf.
        const gradient = again.grad
        if (gradient !== undefined && input.requiresGrad) backward(input, { gradient })
      })
      afterBlock()
    }
  }
}
