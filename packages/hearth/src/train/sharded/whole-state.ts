// The whole training state from the shards of all ranks of this machine, part by part, as a checkpoint holds it.
// Not here: who holds which part (layout.ts), what is done with it (checkpoint-process.ts).
import { cat, CheckpointError, keep, noGrad, scope, type Tensor } from '@hearth/torch'
import { hashesOf, type Hashes } from '../bank-hashes.js'
import type { Named } from '../gradients.js'
import { unitsOf, type ShardLayout, type Unit } from './layout.js'
import type { ShardState } from './shard-state.js'

/**
 * Named as in checkpoints, `weights.<path>` and `optimizer.<kind>.<path>`; each part a unit's weights, or its moments of
 * one kind. Its tensors may be used until the next part is asked for.
 * @param states of all shards, by shard
 * @param step the newest of all, or the one before it
 * @param hashes of each shard, where what is read must be what was written: hashed is the copy that is given on
 * @throws CheckpointError when memory has changed it
 */
export function* wholeState(
  layout: ShardLayout,
  states: readonly ShardState[],
  step: number,
  hashes?: readonly Hashes[],
): Generator<Named, void, void> {
  for (const unit of unitsOf(layout))
    for (const kind of kindsOf(unit, states, step)) {
      const part = partOf({ unit, kind, step, hashes }, layout, states)
      yield part
      Object.values(part).forEach((tensor) => tensor.dispose())
    }
}

const WEIGHTS = 'weights.'

/** Prefixes of the names in checkpoints; a shard that has nothing of a unit has no moments of it either. */
function kindsOf(unit: Unit, states: readonly ShardState[], step: number): string[] {
  const names = states.flatMap((state) => state.readAt(step, unit, ({ moments }) => Object.keys(moments)))
  const kinds = new Set(names.map((name) => `optimizer.${name.slice(0, name.indexOf('.') + 1)}`))
  return [WEIGHTS, ...kinds]
}

function partOf(
  { unit, kind, step, hashes }: { unit: Unit; kind: string; step: number; hashes: readonly Hashes[] | undefined },
  layout: ShardLayout,
  states: readonly ShardState[],
): Named {
  const pieces: Record<string, Tensor[]> = {}
  for (const [shard, state] of states.entries())
    state.readAt(step, unit, ({ weights, moments }) => {
      const named = kind === WEIGHTS ? withPrefix(WEIGHTS, weights) : withPrefix('optimizer.', moments)
      const ofKind = Object.entries(named).filter(([name]) => name.startsWith(kind))
      const copies = Object.fromEntries(ofKind.map(([name, tensor]) => [name, tensor.clone()]))
      if (hashes) checkHashes(step, hashesOf(copies), hashes[shard]!)
      for (const [name, copy] of Object.entries(copies)) (pieces[name] ??= []).push(keep(copy))
    })
  return Object.fromEntries(
    Object.entries(pieces).map(([name, parts]) => [name, joined(parts, layout.shapes[name.slice(kind.length)])]),
  )
}

function checkHashes(step: number, now: Hashes, written: Hashes): void {
  if (Object.keys(now).some((name) => now[name] !== written[name]))
    throw new CheckpointError(`the checkpoint of step ${step} was not saved: memory flipped a bit of its state`)
}

const withPrefix = (prefix: string, named: Named): Named =>
  Object.fromEntries(Object.entries(named).map(([name, tensor]) => [prefix + name, tensor]))

/** One piece has its shape: a whole weight's, or that of a moment of its own kind. */
function joined(pieces: readonly Tensor[], shape: readonly number[] | undefined): Tensor {
  if (pieces.length === 1) return pieces[0]!
  const whole = noGrad(() => scope(() => cat(pieces.map((piece) => piece.view([-1]))).view([...shape!])))
  pieces.forEach((piece) => piece.dispose())
  return whole
}
