// From what a model said of one document to its metrics, and from those of all documents to a score with its standard
// error. The formulas are lm-evaluation-harness's (api/task.py, api/metrics.py), so that figures can be laid beside its own.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { PythonRandom } from './python-random.js'

export const METRICS = {
  loglikelihood: ['perplexity', 'acc'],
  loglikelihood_rolling: ['word_perplexity', 'byte_perplexity', 'bits_per_byte'],
  multiple_choice: ['acc', 'acc_norm', 'acc_bytes', 'acc_mutual_info', 'exact_match'],
  generate_until: ['exact_match'],
} as const
export type OutputType = keyof typeof METRICS

/** What a task gets that names no metrics. */
export const DEFAULT_METRICS: Record<OutputType, readonly string[]> = {
  ...METRICS,
  multiple_choice: ['acc', 'acc_norm'],
}

export const LOWER_IS_BETTER = new Set(['perplexity', 'word_perplexity', 'byte_perplexity', 'bits_per_byte'])

/** Of one document: a number, or a sum of log probabilities and the units that it is over. */
export type Item = number | readonly [logprob: number, units: number]

export type Aggregation = 'mean' | 'median' | 'perplexity' | 'weighted_perplexity' | 'bits_per_byte'

export const DEFAULT_AGGREGATION: Record<string, Aggregation> = {
  perplexity: 'perplexity',
  word_perplexity: 'weighted_perplexity',
  byte_perplexity: 'weighted_perplexity',
  bits_per_byte: 'bits_per_byte',
}

/** Whether an aggregation is of pairs. */
export const isWeighted = (name: Aggregation): boolean => name === 'weighted_perplexity' || name === 'bits_per_byte'

const mean = (items: readonly number[]): number => items.reduce((sum, item) => sum + item, 0) / items.length
const weightedMean = (items: readonly (readonly [number, number])[]): number =>
  items.reduce((sum, [part]) => sum + part, 0) / items.reduce((sum, [, units]) => sum + units, 0)

const ofNumbers: Partial<Record<Aggregation, (items: readonly number[]) => number>> = {
  mean,
  median: (items) => [...items].sort((a, b) => a - b)[Math.floor(items.length / 2)]!,
  perplexity: (items) => Math.exp(-mean(items)),
}

/** The score of all documents. */
export function aggregate(name: Aggregation, items: readonly Item[]): number {
  if (!isWeighted(name)) return ofNumbers[name]!(items as number[])
  const average = weightedMean(items as [number, number][])
  return name === 'bits_per_byte' ? -average / Math.LN2 : Math.exp(-average)
}

/**
 * The standard error: of a mean s/√n with the sample's deviation; of a median or a perplexity by bootstrap with Python's
 * random numbers, in runs of 1000 seeded 0, 1, …; none of what is weighted, and none of one document.
 * @param iterations of the bootstrap; 0 for no standard errors at all
 */
export async function standardError(
  name: Aggregation,
  items: readonly Item[],
  iterations: number,
): Promise<number | undefined> {
  if (iterations <= 0 || items.length < 2 || isWeighted(name)) return undefined
  const numbers = items as number[]
  if (name === 'mean') return deviation(numbers) / Math.sqrt(numbers.length)
  const chunk = Math.min(1000, iterations)
  const drawn: number[] = []
  const picked = new Array<number>(numbers.length)
  for (let seed = 0; seed < Math.floor(iterations / chunk); seed++) {
    const random = new PythonRandom(seed)
    for (let n = 0; n < chunk; n++) {
      for (let i = 0; i < numbers.length; i++) picked[i] = numbers[Math.floor(random.random() * numbers.length)]!
      drawn.push(ofNumbers[name]!(picked))
    }
    await nextTurn()
  }
  return deviation(drawn)
}

function deviation(numbers: readonly number[]): number {
  const middle = mean(numbers)
  return Math.sqrt(numbers.reduce((sum, x) => sum + (x - middle) ** 2, 0) / (numbers.length - 1))
}

/** The score of several tasks together, weighted by their documents or not. */
export function groupScore(scores: readonly number[], sizes: readonly number[], bySize: boolean): number {
  const weights = bySize ? sizes : sizes.map(() => 1)
  const all = scores.reduce((sum, score, i) => sum + score * weights[i]!, 0)
  return all / weights.reduce((sum, weight) => sum + weight, 0)
}

/** Its standard error, of the pooled variance: https://en.wikipedia.org/wiki/Pooled_variance */
export function groupError(errors: readonly number[], sizes: readonly number[]): number {
  const documents = sizes.reduce((sum, size) => sum + size, 0)
  const squares = errors.reduce((sum, error, i) => sum + (sizes[i]! - 1) * error ** 2 * sizes[i]!, 0)
  return Math.sqrt(squares / (documents - sizes.length) / documents)
}

/** What a model said of a continuation. */
export interface Likelihood {
  /** Sum of the natural logarithms over its tokens. */
  logprob: number
  /** Whether each of its tokens was the most likely one. */
  greedy: boolean
}

const largest = (numbers: readonly number[]): number => numbers.indexOf(Math.max(...numbers))

/**
 * Metrics of a question with choices. acc_norm divides by the characters of a choice, acc_bytes by its bytes in UTF-8.
 * @param said one for each choice; twice as many with acc_mutual_info, the second half without the question
 * @param gold places of the right choices; none when the row names one that is not there
 */
export function choiceMetrics(
  said: readonly Likelihood[],
  choices: readonly string[],
  gold: readonly number[],
): Record<string, number> {
  const logprobs = said.slice(0, choices.length).map(({ logprob }) => logprob)
  const alone = said.slice(choices.length)
  const right = (numbers: readonly number[]) => Number(gold.includes(largest(numbers)))
  return {
    acc: right(logprobs),
    acc_norm: right(logprobs.map((logprob, i) => logprob / Array.from(choices[i]!).length)),
    acc_bytes: right(logprobs.map((logprob, i) => logprob / Buffer.byteLength(choices[i]!))),
    exact_match: Number(gold.some((place) => said[place]!.greedy)),
    ...(alone.length > 0 && { acc_mutual_info: right(logprobs.map((logprob, i) => logprob - alone[i]!.logprob)) }),
  }
}

/** Metrics of a text: words are what lies between white space, empty ones at both ends included. */
export function rollingMetrics(logprob: number, text: string): Record<string, Item> {
  const bytes = Buffer.byteLength(text)
  return {
    word_perplexity: [logprob, text.split(/\s+/).length],
    byte_perplexity: [logprob, bytes],
    bits_per_byte: [logprob, bytes],
  }
}
