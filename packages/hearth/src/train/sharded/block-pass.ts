// Forward and backward of one slot, block by block: a block's weights need to be there only while it runs. The schedule is
// that of activation checkpointing (segments.ts): blocks run without recording, only their inputs are kept, and each runs
// again in the backward pass. Here the pass stops between blocks, because their weights may have to be waited for.
// Not here: where weights come from and gradients go (sharded-trainer.ts).
import { backward, keep, manualSeed, noGrad, scope, zerosLike, type Tensor } from '@hearth/torch'
import { hashCounters } from '../../data/index.js'
import { mapTree } from '../../tree/index.js'
import type { Named } from '../gradients.js'
import type { RunBlock } from '../segments.js'
import type { SlotOptions } from '../slots.js'

/** The weights of a model while it is trained in parts: those of a block are there between `use` and `takeGradients`. */
export class Leaves {
  /** For the objective: of the model's own type, with leaves that come and go. */
  readonly tree: unknown
  readonly #set = new Map<string, (leaf: Tensor | undefined) => void>()

  /** @param like a tree of the same shape; its leaves are not used */
  constructor(like: unknown) {
    this.tree = mapTree(like, (leaf) => leaf)
    this.#find(this.tree, '')
  }

  /** Puts leaves into their places. */
  use(leaves: Named): void {
    for (const [path, leaf] of Object.entries(leaves)) this.#set.get(path)!(leaf)
  }

  #find(node: unknown, prefix: string): void {
    for (const [key, child] of Object.entries(node as Record<string, unknown>)) {
      const path = prefix + key
      if (isTensor(child)) this.#set.set(path, (leaf) => ((node as Record<string, unknown>)[key] = leaf))
      else if (typeof child === 'object' && child !== null) this.#find(child, `${path}.`)
    }
  }
}

const isTensor = (value: unknown): value is Tensor =>
  typeof value === 'object' && value !== null && 'numel' in value && 'dtype' in value

/** Where a block's weights come from, and its gradients go. */
export interface BlockAccess {
  /** The weights of block k, in their places. @param next the block that is wanted after it */
  begin(block: number, next: number | undefined): Promise<Named>
  /** They are not needed for now. */
  end(block: number, leaves: Named): void
  /** Takes the gradients of a block: float or whatever the arithmetic is, by path. */
  take(block: number, gradients: Named): Promise<void>
}

export interface BlockPassResult {
  loss: number
  size: number
}

/** Thrown through a loss when all blocks are known: what comes after them is not to be computed yet. */
class BlocksKnown extends Error {}

type Block = (x: Tensor) => Tensor

/** The loss of the slot, with blocks run as one likes. */
type LossOf = (runBlock: RunBlock) => Tensor

/** The gradients at leaves, which are cleared; kept, zeros where there is none. */
export function takeLeafGradients(leaves: Named): Named {
  const taken: Named = {}
  for (const [path, leaf] of Object.entries(leaves)) {
    taken[path] = keep(leaf.grad ?? zerosLike(leaf))
    leaf.grad = undefined
  }
  return taken
}

/**
 * Runs a slot. The leaves around the blocks must be in their places; their gradients are at them afterwards.
 * The bits are those of `runSlot` with activation checkpointing.
 */
export async function runSlotInBlocks<Batch>(
  options: SlotOptions<unknown, Batch>,
  { leaves, blocks, access }: { leaves: Leaves; blocks: number; access: BlockAccess },
  step: number,
  slot: number,
): Promise<BlockPassResult> {
  const seed = hashCounters(options.seed, step, slot)
  manualSeed(seed)
  const batch = options.batches.slotAt(step, slot, options.slots)
  const lossOf = (runBlock: RunBlock) =>
    options.objective.loss(leaves.tree, batch, { runBlock, device: options.device, seed })
  const { first, run } = beforeBlocks(lossOf, blocks)
  const inputs = await forward(run, first, access)
  const { loss, upstream } = afterBlocks(lossOf, inputs.pop()!)
  const gradient = await backwards(run, inputs, upstream, access)
  // What lies before the blocks.
  if (first.requiresGrad) backward(first, { gradient })
  gradient.dispose()
  first.dispose()
  return { loss, size: options.objective.size(batch) }
}

/**
 * What the first block reads, and the blocks as functions. They use tables that the model makes on the way (rotary
 * positions): no scope frees those here, the garbage collector does.
 */
function beforeBlocks(lossOf: LossOf, blocks: number) {
  const run: Block[] = []
  let first: Tensor | undefined
  const collect = (block: Block, x: Tensor) => {
    first ??= x
    run.push(block)
    if (run.length === blocks) throw new BlocksKnown()
    return x
  }
  try {
    lossOf(collect)
  } catch (error) {
    if (!(error instanceof BlocksKnown)) throw error
  }
  return { first: first!, run }
}

/** The input of each block, and last the output of the last one. */
async function forward(run: readonly Block[], first: Tensor, access: BlockAccess): Promise<Tensor[]> {
  const inputs = [first.detach()]
  for (const [k, block] of run.entries()) {
    const isLast = k === run.length - 1
    const leaves = await access.begin(k, isLast ? undefined : k + 1)
    inputs.push(noGrad(() => scope(() => block(inputs[k]!))).detach())
    // The last one is the first that the backward pass needs.
    if (!isLast) access.end(k, leaves)
  }
  return inputs
}

/** The loss over the output of the last block, and its gradient there. */
function afterBlocks(lossOf: LossOf, output: Tensor) {
  return scope(() => {
    const last = output.setRequiresGrad(true)
    const loss = lossOf(() => last)
    const value = loss.item()
    backward(loss)
    const upstream = keep(last.grad ?? zerosLike(last))
    last.grad = undefined
    output.dispose()
    return { loss: value, upstream }
  })
}

/** Runs the blocks again from the last to the first; gives the gradient at the first one's input. */
async function backwards(run: readonly Block[], inputs: Tensor[], upstream: Tensor, access: BlockAccess) {
  let gradient = upstream
  for (let k = run.length - 1; k >= 0; k--) {
    const leaves = await access.begin(k, k > 0 ? k - 1 : undefined)
    const input = inputs.pop()!
    const next = scope(() => {
      const again = input.detach().setRequiresGrad(true)
      backward(run[k]!(again), { gradient })
      const next = keep(again.grad ?? zerosLike(again))
      again.grad = undefined
      return next
    })
    gradient.dispose()
    input.dispose()
    gradient = next
    const gradients = takeLeafGradients(leaves)
    access.end(k, leaves)
    await access.take(k, gradients)
  }
  return gradient
}
