// What changes a row of logits before a token is chosen from it (samplers.ts): a mask, a bias, and penalties for what
// already occurred. In the order of this file; each has a value that switches it off.
import type { SamplingRule } from './samplers.js'

/** What penalties look at, and what a constraint allows. */
export interface TextSoFar {
  /** Ids of the text, the prompt included, each once. */
  seen: Iterable<number>
  /** How often each id was generated; the prompt does not count. */
  counts?: ReadonlyMap<number, number>
  /** Bit `id % 32` of word `id / 32` is set where a token may come; all may when it is not given. */
  allowed?: Uint32Array | undefined
}

/**
 * The logits after the mask, the bias and the penalties.
 * @param logits (V), not changed
 * @returns (V), the same array where nothing applies
 */
export function changeLogits(
  logits: Float32Array,
  { seen, counts, allowed }: TextSoFar,
  rule: SamplingRule,
): Float32Array {
  let changed = logits
  const copy = () => (changed === logits ? (changed = logits.slice()) : changed)
  if (allowed !== undefined) maskLogits(copy(), allowed)
  for (const [id, bias] of rule.logitBias) copy()[id]! += bias
  if (rule.repetitionPenalty !== 1) changed = repetitionPenalty(changed, seen, rule.repetitionPenalty)
  if (counts !== undefined && (rule.frequencyPenalty !== 0 || rule.presencePenalty !== 0))
    for (const [id, count] of counts) copy()[id]! -= count * rule.frequencyPenalty + rule.presencePenalty
  return changed
}

/** Makes tokens that are not allowed impossible, in place. */
export function maskLogits(logits: Float32Array, allowed: Uint32Array): void {
  for (let id = 0; id < logits.length; id++) if (((allowed[id >>> 5]! >>> (id & 31)) & 1) === 0) logits[id] = -Infinity
}

/**
 * Makes tokens that already occurred less likely: positive logits are divided by the penalty, negative ones multiplied.
 * Source: Keskar et al., "CTRL", 2019, section 4.1.
 * @param seen ids of the text so far, each counted once
 */
export function repetitionPenalty(logits: Float32Array, seen: Iterable<number>, penalty: number): Float32Array {
  const changed = logits.slice()
  for (const id of seen) changed[id] = logits[id]! > 0 ? logits[id]! / penalty : logits[id]! * penalty
  return changed
}
