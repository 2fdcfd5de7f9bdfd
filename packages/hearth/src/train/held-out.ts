// Loss on held-out text: nats per token, perplexity, bits per byte. Weights are not changed.
import { noGrad, scope, type Device, type Tensor } from '@hearth/torch'
import type { RowBatch, TextBatch } from '../data/index.js'
import type { LanguageModel } from '../models/index.js'
import { linearCrossEntropy } from '../nn/index.js'
import { hearEvents } from './event-loop.js'
import { idsOf } from './objective.js'

export interface HeldOutLoss {
  /** Nats per token; of preferences, the objective itself. */
  loss: number
  /** undefined for preferences. */
  perplexity: number | undefined
  /** Bits per byte of the text behind the tokens; undefined when its size is not known. */
  bitsPerByte: number | undefined
  tokens: number
}

export interface HeldOutOptions {
  /** Stop after this many tokens. */
  maxTokens?: number
  /** Bytes of text per token, over the whole held-out split. */
  bytesPerToken?: number
  device?: Device
  signal?: AbortSignal
  onProgress?: (tokens: number) => void
}

/**
 * Measures a model on batches of held-out text, each token once as a target.
 * Targets of -100 are padding and do not count.
 */
export async function heldOutLoss(
  model: LanguageModel,
  batches: Iterable<TextBatch>,
  options: HeldOutOptions = {},
): Promise<HeldOutLoss> {
  const { maxTokens = Infinity, device = 'cpu' } = options
  let nats = 0
  let tokens = 0
  for (const batch of batches) {
    if (tokens >= maxTokens || options.signal?.aborted) break
    nats += noGrad(() =>
      scope(() => {
        const { family, weights, config } = model
        const documents = batch.documents && { documents: idsOf(batch.documents, batch.shape, device) }
        const hidden = family.hidden(weights, config, idsOf(batch.inputs, batch.shape, device), documents) // (B, T, D)
        const targets = idsOf(batch.targets, batch.shape, device)
        return linearCrossEntropy(family.projection(weights), hidden, targets, { reduction: 'sum' }).item()
      }),
    )
    tokens += batch.targets.reduce((count, id) => count + (id >= 0 ? 1 : 0), 0)
    options.onProgress?.(tokens)
    await hearEvents()
  }
  const loss = nats / tokens
  const bitsPerByte = options.bytesPerToken === undefined ? undefined : loss / Math.LN2 / options.bytesPerToken
  return { loss, perplexity: Math.exp(loss), bitsPerByte, tokens }
}

/**
 * The mean of an objective that is no likelihood of tokens, over batches of held-out rows.
 * @param loss of a batch, a mean over its rows
 */
export async function heldOutObjective(
  loss: (batch: RowBatch) => Tensor,
  batches: Iterable<RowBatch>,
  { maxTokens = Infinity, signal, onProgress }: HeldOutOptions = {},
): Promise<HeldOutLoss> {
  let [total, rows, tokens] = [0, 0, 0]
  for (const batch of batches) {
    if (tokens >= maxTokens || signal?.aborted) break
    total += batch.divisor * noGrad(() => scope(() => loss(batch).item()))
    rows += batch.divisor
    tokens += batch.targets.reduce((count, id) => count + (id >= 0 ? 1 : 0), 0)
    onProgress?.(tokens)
    await hearEvents()
  }
  return { loss: total / rows, perplexity: undefined, bitsPerByte: undefined, tokens }
}
