// From logits to one token: small pure functions, applied in the order of this file (see sampleToken).
// Plain numbers and not tensors: one row of logits is small, and each step narrows it. A vocabulary of 128,000 is read
// once or twice and sorted only where top-p stands alone on a flat distribution.
import { HearthError } from '@hearth/torch'
import { changeLogits, type TextSoFar } from './logit-changes.js'

/** Tokens that are still in the draw: `ids[i]` has the logit `logits[i]`. */
export interface Candidates {
  readonly ids: Int32Array
  readonly logits: Float32Array
}

/** Divides the logits: below 1 the likely tokens gain, above 1 the unlikely. The temperature is above 0. */
export function temperature(logits: Float32Array, value: number): Float32Array {
  // From the largest logit, so that no temperature, however low, overflows.
  const largest = logits[greedy(logits)]!
  const scaled = new Float32Array(logits.length)
  for (let id = 0; id < scaled.length; id++) scaled[id] = (logits[id]! - largest) / value
  return scaled
}

/** The most likely token; of equals the one with the lowest id. */
export function greedy(logits: Float32Array): number {
  let best = 0
  let largest = logits[0]!
  for (let id = 1; id < logits.length; id++) {
    if (logits[id]! > largest) {
      largest = logits[id]!
      best = id
    }
  }
  return best
}

/** All tokens, in the order of their ids. */
export function allTokens(logits: Float32Array): Candidates {
  const ids = new Int32Array(logits.length)
  for (let id = 0; id < ids.length; id++) ids[id] = id
  return { ids, logits }
}

/** The `k` most likely tokens, most likely first; of equals those with the lower ids. */
export function topK(logits: Float32Array, k: number): Candidates {
  if (k >= logits.length) return sorted(allTokens(logits))
  // A heap of the best so far, worst at its root. Most tokens are no better than that and cost one comparison.
  const heap = sortKeys(logits.subarray(0, k)).sort().reverse()
  let worst = logits[heap[0]! % PLACES]!
  for (let id = k; id < logits.length; id++) {
    if (logits[id]! <= worst) continue
    replaceLargest(heap, sortKey(logits[id]!, id))
    worst = logits[heap[0]! % PLACES]!
  }
  return fromKeys(heap.sort(), logits)
}

/**
 * The smallest set of most likely tokens whose probabilities add up to at least `p`, most likely first; never empty.
 * Source: Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020.
 */
export function topP(candidates: Candidates, p: number): Candidates {
  const weights = softmaxWeights(candidates.logits)
  const total = sumOf(weights)
  // Tokens below (1 - p) / n have less than 1 - p together: none of them is needed, and the rest is short to sort.
  const least = ((1 - p) / weights.length) * total
  const ordered = sorted(select(candidates, (i) => weights[i]! >= least))
  const orderedWeights = softmaxWeights(ordered.logits)
  let count = 0
  for (let sum = 0; count < ordered.ids.length && sum < p * total; count++) sum += orderedWeights[count]!
  return { ids: ordered.ids.subarray(0, Math.max(1, count)), logits: ordered.logits.subarray(0, Math.max(1, count)) }
}

/**
 * Tokens at least `p` times as likely as the most likely one.
 * Source: Nguyen et al., "Turning Up the Heat: Min-p Sampling", 2024.
 */
export function minP(candidates: Candidates, p: number): Candidates {
  const least = candidates.logits[greedy(candidates.logits)]! + Math.log(p)
  return select(candidates, (i) => candidates.logits[i]! >= least)
}

/**
 * One token, each with its softmax probability.
 * @param uniform a number in [0, 1) that decides
 */
export function draw({ ids, logits }: Candidates, uniform: number): number {
  const weights = softmaxWeights(logits)
  const target = uniform * sumOf(weights)
  let sum = 0
  let last = 0
  for (let i = 0; i < ids.length; i++) {
    sum += weights[i]!
    if (weights[i]! > 0) last = i
    if (sum > target) return ids[i]!
  }
  return ids[last]!
}

/** How one token is chosen; each setting has a value that switches it off. */
export interface SamplingRule {
  /** 0 takes the most likely token. */
  temperature: number
  /** 0 for all. */
  topK: number
  /** 1 for all. */
  topP: number
  /** 0 for all. */
  minP: number
  /** 1 for none. */
  repetitionPenalty: number
  /** 0 for none. */
  frequencyPenalty: number
  /** 0 for none. */
  presencePenalty: number
  /** Added to the logits of these ids. */
  logitBias: ReadonlyMap<number, number>
}

/**
 * Chooses a token: what a constraint allows, logit bias, repetition penalty, frequency and presence penalty, then
 * temperature, top-k, top-p (of what top-k left), min-p, draw. With temperature 0 the most likely token after the
 * penalties is taken.
 * @param logits (V), not changed
 * @param uniform a number in [0, 1) that decides
 * @throws HearthError when the logits are not numbers
 */
export function sampleToken(logits: Float32Array, text: TextSoFar, rule: SamplingRule, uniform: number): number {
  checkLogits(logits)
  const changed = changeLogits(logits, text, rule)
  if (rule.temperature === 0) return greedy(changed)
  const scaled = rule.temperature === 1 ? changed : temperature(changed, rule.temperature)
  let candidates = rule.topK > 0 ? topK(scaled, rule.topK) : allTokens(scaled)
  if (rule.topP < 1) candidates = topP(candidates, rule.topP)
  if (rule.minP > 0) candidates = minP(candidates, rule.minP)
  return draw(candidates, uniform)
}

/** -Infinity is a forbidden token; anything else that is no number comes from a broken model. */
function checkLogits(logits: Float32Array): void {
  let sum = 0
  for (const logit of logits) if (logit !== -Infinity) sum += logit
  if (!Number.isFinite(sum) || logits[greedy(logits)] === -Infinity)
    throw new HearthError(`the model gave logits that are not numbers (of ${logits.length}, they add up to ${sum})`, {
      remedy: 'the weights are damaged, or their training diverged: take an earlier checkpoint',
    })
}

function sumOf(values: Float64Array): number {
  let sum = 0
  for (const value of values) sum += value
  return sum
}

/** exp(logit - largest logit), in float64: softmax before its division. */
function softmaxWeights(logits: Float32Array): Float64Array {
  const largest = logits[greedy(logits)]!
  const weights = new Float64Array(logits.length)
  for (let i = 0; i < weights.length; i++) weights[i] = Math.exp(logits[i]! - largest)
  return weights
}

function select(candidates: Candidates, keep: (index: number) => boolean): Candidates {
  const ids = new Int32Array(candidates.ids.length)
  const logits = new Float32Array(ids.length)
  let count = 0
  for (let i = 0; i < ids.length; i++) {
    if (!keep(i)) continue
    ids[count] = candidates.ids[i]!
    logits[count++] = candidates.logits[i]!
  }
  return { ids: ids.subarray(0, count), logits: logits.subarray(0, count) }
}

function sorted(candidates: Candidates): Candidates {
  const order = fromKeys(sortKeys(candidates.logits).sort(), candidates.logits)
  return { ids: order.ids.map((index) => candidates.ids[index]!), logits: order.logits }
}

/** Places a key of 53 bits holds behind the logit: vocabularies of up to two million. */
const PLACES = 2 ** 21

const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)

/**
 * One number that orders by falling logit and then by place, so that typed arrays sort it without a comparison
 * function. The bits of a float32 order like an integer once those of negative numbers are reversed.
 */
function sortKey(logit: number, place: number): number {
  float[0] = logit
  const falling = bits[0]! >>> 31 === 1 ? bits[0]! : 0x7fff_ffff - bits[0]!
  return falling * PLACES + place
}

function sortKeys(logits: Float32Array): Float64Array {
  const keys = new Float64Array(logits.length)
  for (let i = 0; i < keys.length; i++) keys[i] = sortKey(logits[i]!, i)
  return keys
}

/** The places that the keys hold, with their logits. */
function fromKeys(keys: Float64Array, logits: Float32Array): Candidates {
  const ids = new Int32Array(keys.length)
  const ordered = new Float32Array(keys.length)
  for (let i = 0; i < keys.length; i++) {
    ids[i] = keys[i]! % PLACES
    ordered[i] = logits[ids[i]!]!
  }
  return { ids, logits: ordered }
}

/** Puts a key in the place of the largest of a binary heap whose root is its largest. */
function replaceLargest(heap: Float64Array, key: number): void {
  let parent = 0
  for (;;) {
    let child = 2 * parent + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && heap[child + 1]! > heap[child]!) child++
    if (heap[child]! <= key) break
    heap[parent] = heap[child]!
    parent = child
  }
  heap[parent] = key
}
