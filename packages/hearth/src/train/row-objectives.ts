// What rows are trained to: answers by their likelihood, pairs and labels by preference. Each is the formula of its paper
// on log-probabilities of whole answers; log-probabilities of the model that adapting began with are made beside them.
// Sums over a slot are divided by the batch's own size (RowBatch.divisor), so that slots do not show.
import { call, noGrad, scope, type Tensor } from '@hearth/torch'
import type { RowBatch } from '../data/index.js'
import type { LanguageModel } from '../models/index.js'
import { linearCrossEntropy } from '../nn/index.js'
import { idsOf, type LossContext } from './objective.js'

/** Without a seed nothing is dropped: outside of training. */
export type RowContext = Omit<LossContext, 'seed'> & Partial<Pick<LossContext, 'seed'>>

/** A loss of a model on rows; `reference` is the model without what is trained. */
export type RowLoss = (model: LanguageModel, batch: RowBatch, context: RowContext, reference: LanguageModel) => Tensor

export interface PreferenceSettings {
  /** β of DPO and KTO, λ of ORPO. */
  beta: number
  desirableWeight: number
  undesirableWeight: number
}

/** (B, T, D), and what follows each position. */
function hiddenOf({ family, weights, config }: LanguageModel, batch: RowBatch, context: Partial<RowContext>) {
  const { device = 'cpu', runBlock, seed } = context
  const tensorOf = (ids: Int32Array) => idsOf(ids, batch.shape, device)
  const hidden = family.hidden(weights, config, tensorOf(batch.inputs), {
    ...(batch.documents && { documents: tensorOf(batch.documents) }),
    ...(runBlock && { runBlock }),
    ...(seed !== undefined && { dropoutSeed: seed }),
  })
  return { hidden, targets: tensorOf(batch.targets), projection: family.projection(weights) }
}

/** Mean nats per trained token. */
export const answers: RowLoss = (model, batch, context) => {
  const { hidden, targets, projection } = hiddenOf(model, batch, context)
  return linearCrossEntropy(projection, hidden, targets, { reduction: 'sum' }).div(batch.divisor)
}

/**
 * log p of each row's trained tokens together, after what precedes them.
 * @returns (B) float32
 */
export function logProbabilities(model: LanguageModel, batch: RowBatch, context: Partial<RowContext>): Tensor[] {
  const { hidden, targets, projection } = hiddenOf(model, batch, context)
  return Array.from({ length: batch.shape[0] }, (_, row) =>
    linearCrossEntropy(projection, hidden.narrow(0, row, 1), targets.narrow(0, row, 1), { reduction: 'sum' }).neg(),
  )
}

/** Of a model that does not learn: numbers. */
function fixedLogProbabilities(model: LanguageModel, batch: RowBatch, { device }: RowContext): number[] {
  return noGrad(() => scope(() => logProbabilities(model, batch, { device }).map((value) => value.item())))
}

const logSigmoid = (x: Tensor): Tensor => call('aten::log_sigmoid', x) as Tensor
const sum = (terms: readonly Tensor[]): Tensor => terms.reduce((total, term) => total.add(term))
const trainedTokens = ({ targets, shape: [, T] }: RowBatch, row: number): number =>
  targets.subarray(row * T, (row + 1) * T).reduce((count, id) => count + (id >= 0 ? 1 : 0), 0)

/**
 * Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290, equation 7):
 * -log σ(β ((log π/π₀)(better) - (log π/π₀)(worse))), a mean over pairs.
 */
export const dpo =
  ({ beta }: PreferenceSettings): RowLoss =>
  (model, batch, context, reference) => {
    const before = fixedLogProbabilities(reference, batch, context)
    const now = logProbabilities(model, batch, context)
    const pairs = batch.shape[0] / 2
    const gains = now.map((value, row) => value.sub(before[row]!))
    const margins = gains.slice(0, pairs).map((better, i) => better.sub(gains[pairs + i]!).mul(beta))
    return sum(margins.map((margin) => logSigmoid(margin).neg())).div(batch.divisor)
  }

/** log (p / (1 - p)) of a mean log-probability. */
const logOdds = (logP: Tensor): Tensor => logP.sub(logP.exp().neg().log1p())

/**
 * Odds-ratio preference optimisation (Hong et al. 2024, arXiv:2403.07691, equations 6 and 7), without a reference:
 * the nats per token of the better answer, and λ times -log σ(log odds(better) - log odds(worse)), where p is the
 * geometric mean over an answer's tokens.
 */
export const orpo =
  ({ beta }: PreferenceSettings): RowLoss =>
  (model, batch, context) => {
    const pairs = batch.shape[0] / 2
    const means = logProbabilities(model, batch, context).map((value, row) => value.div(trainedTokens(batch, row)))
    const losses = means.slice(0, pairs).map((better, i) => {
      const ratio = logOdds(better).sub(logOdds(means[pairs + i]!))
      return logSigmoid(ratio).mul(-beta).sub(better)
    })
    return sum(losses).div(batch.divisor)
  }

/**
 * Kahneman-Tversky optimisation (Ethayarajh et al. 2024, arXiv:2402.01306, equation 8): λ - v, with v = λ σ(β (r - z)) of
 * wanted rows and λ σ(β (z - r)) of unwanted ones; r = log π/π₀ of the answer, and z, which is not walked back through,
 * is the mean of the same over prompts with the answers to others, or 0 where that is negative.
 */
export const kto =
  ({ beta, desirableWeight, undesirableWeight }: PreferenceSettings): RowLoss =>
  (model, batch, context, reference) => {
    const rows = batch.shape[0] / 2
    const before = fixedLogProbabilities(reference, batch, context)
    const drift = fixedLogProbabilities(model, halfOf(batch, rows), context)
    const shifts = drift.map((value, i) => value - before[rows + i]!)
    const z = Math.max(0, shifts.reduce((total, value) => total + value, 0) / rows)
    const losses = logProbabilities(model, halfOf(batch, 0), context).map((value, row) => {
      const wanted = batch.labels![row]!
      const gain = value.sub(before[row]! + z).mul(wanted ? beta : -beta)
      const weight = wanted ? desirableWeight : undesirableWeight
      return gain.sigmoid().neg().add(1).mul(weight)
    })
    return sum(losses).div(batch.divisor)
  }

/** Half of the rows, from one on. */
function halfOf(batch: RowBatch, from: number): RowBatch {
  const [B, T] = batch.shape
  const cut = (ids: Int32Array) => ids.subarray(from * T, (from + B / 2) * T)
  return { ...batch, inputs: cut(batch.inputs), targets: cut(batch.targets), shape: [B / 2, T] }
}
