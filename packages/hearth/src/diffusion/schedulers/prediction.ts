// What a model's output says of the clean picture and of the noise. A sample is a × picture + s × noise; a model predicts
// the noise (epsilon), the picture (sample), or the velocity a × noise - s × picture (Salimans and Ho 2022).
import { call, type Tensor } from '@hearth/torch'
import type { SchedulerConfig } from './config.js'
import { combine } from './scheduler.js'

/** How a sample is mixed: a × picture + s × noise. */
export interface Mix {
  a: number
  s: number
}

/** The mix of a time of constant variance: a² + s² = 1. */
export const mixOf = (alphaCumprod: number): Mix => ({ a: Math.sqrt(alphaCumprod), s: Math.sqrt(1 - alphaCumprod) })

/** The mix of a noise level once the sample is scaled to constant variance. */
export function mixOfSigma(sigma: number): Mix {
  const a = 1 / Math.sqrt(sigma * sigma + 1)
  return { a, s: sigma * a }
}

/** The clean picture that the model's output amounts to. */
export function predictedPicture(config: SchedulerConfig, output: Tensor, sample: Tensor, { a, s }: Mix): Tensor {
  if (config.prediction_type === 'epsilon') return combine(1 / a, sample, -s / a, output)
  if (config.prediction_type === 'v_prediction') return combine(a, sample, -s, output)
  return output
}

/** The noise that the model's output amounts to. */
export function predictedNoise(config: SchedulerConfig, output: Tensor, sample: Tensor, { a, s }: Mix): Tensor {
  if (config.prediction_type === 'epsilon') return output
  if (config.prediction_type === 'v_prediction') return combine(a, output, s, sample)
  return combine(1 / s, sample, -a / s, output)
}

/** The same for a sample that is picture + sigma × noise. */
export function pictureAtSigma(config: SchedulerConfig, output: Tensor, sample: Tensor, sigma: number): Tensor {
  if (config.prediction_type === 'epsilon') return sample.add(output, { alpha: -sigma })
  const { a, s } = mixOfSigma(sigma)
  if (config.prediction_type === 'v_prediction') return combine(a * a, sample, -s, output)
  return output
}

/** Keeps a predicted picture in the range of pictures: by its own quantile (Imagen, section 2.3), or by clipping. */
export function bounded(config: SchedulerConfig, picture: Tensor): Tensor {
  if (config.thresholding) return dynamicallyThresholded(config, picture)
  if (!config.clip_sample) return picture
  return picture.clamp({ min: -config.clip_sample_range, max: config.clip_sample_range })
}

function dynamicallyThresholded(config: SchedulerConfig, picture: Tensor): Tensor {
  const rows = picture.shape[0]!
  const flat = picture.abs().reshape([rows, -1]) // (B, N)
  const quantile = call('aten::quantile.scalar', flat, config.dynamic_thresholding_ratio, 1, true) as Tensor // (B, 1)
  const limit = quantile
    .clamp({ min: 1, max: config.sample_max_value })
    .view([rows, ...picture.shape.slice(1).map(() => 1)])
  return picture.minimum(limit).maximum(limit.neg()).div(limit)
}
