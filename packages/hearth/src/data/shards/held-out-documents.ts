/**
 * Decides by a document's text alone whether it is held out for measuring: the same document falls on the same side in
 * every preparation, in whatever file and order, so that copies of it cannot be trained on and measured with.
 */
import { createHash } from 'node:crypto'
import { philox, seedKey, uniform } from '../counter-random.js'

const HEAD = 1 << 16 // characters; a very long document comes in parts, and the first has at least this many

/** Whether a document is held out, given its text or its first part. */
export function isHeldOut(text: string, fraction: number, seed: number): boolean {
  if (fraction === 0) return false
  const digest = createHash('sha256').update(text.slice(0, HEAD)).digest()
  const [high, low] = philox([digest.readUInt32LE(0), digest.readUInt32LE(4), 0, 0], seedKey(seed))
  return uniform(high, low) < fraction
}
