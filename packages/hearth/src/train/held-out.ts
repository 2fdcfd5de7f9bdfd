// Loss on held-out text: nats per token, perplexity, bits per byte. Weights are not changed.
import { noGrad, scope, type Device } from '@hearth/torch'
import type { TextBatch } from '../data/index.js'
import type { LanguageModel } from '../models/index.js'
import { linearCrossEntropy } from '../nn/index.js'
import { hearEvents } from './event-loop.js'
import { idsOf } from './objective.js'

export interface HeldOutLoss {
  /** Nats per token. */
  loss: number
  perplexity: number
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
        const hidden = family.hidden(weights, config, idsOf(batch.inputs, batch.shape, device)) // (B, T, D)
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
