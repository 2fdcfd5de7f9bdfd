// How much of a picture is left at each time of training: the products of (1 - beta), as DDPM and its successors choose
// them (Ho et al. 2020; Nichol and Dhariwal 2021; Lin et al. 2023 for zero terminal SNR). Not how time is sampled.
import { ConfigError } from '@hearth/torch'
import type { SchedulerConfig } from './config.js'

/** The numbers from a to b in `count` equal steps, both ends included. */
export function linspace(a: number, b: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => (count === 1 ? a : a + ((b - a) * i) / (count - 1)))
}

/** The variance of the noise that each time of training adds. */
export function betasOf(config: SchedulerConfig): number[] {
  const { beta_start: from, beta_end: to, num_train_timesteps: count } = config
  if (config.trained_betas !== undefined) return [...config.trained_betas]
  switch (config.beta_schedule) {
    case 'linear':
      return linspace(from, to, count)
    case 'scaled_linear':
      return linspace(Math.sqrt(from), Math.sqrt(to), count).map((root) => root * root)
    case 'squaredcos_cap_v2':
      return cosineBetas(count)
    case 'sigmoid':
      return linspace(-6, 6, count).map((x) => (to - from) / (1 + Math.exp(-x)) + from)
  }
}

/** Nichol and Dhariwal 2021, equation 17: what is left falls as a squared cosine; no beta above 0.999. */
function cosineBetas(count: number): number[] {
  const left = (share: number) => Math.cos((((share + 0.008) / 1.008) * Math.PI) / 2) ** 2
  return Array.from({ length: count }, (_, i) => Math.min(1 - left((i + 1) / count) / left(i / count), 0.999))
}

/**
 * The share of the picture's variance that is left at each time: ᾱ of the papers, falling.
 * With `rescale_betas_zero_snr` nothing is left at the last (Lin et al. 2023, algorithm 1).
 * @throws ConfigError where nothing is left and the model predicts noise
 */
export function alphasCumprod(config: SchedulerConfig): number[] {
  if (config.rescale_betas_zero_snr && config.prediction_type === 'epsilon')
    throw new ConfigError('scheduler', [
      {
        path: 'rescale_betas_zero_snr',
        message: 'leaves pure noise at the last time, where a model of the noise (epsilon) says nothing of a picture',
      },
    ])
  return rescaled(config)
}

function rescaled(config: SchedulerConfig): number[] {
  let product = 1
  const alphas = betasOf(config).map((beta) => (product *= 1 - beta))
  if (!config.rescale_betas_zero_snr) return alphas
  const roots = alphas.map(Math.sqrt)
  const [first, last] = [roots[0]!, roots.at(-1)!]
  return roots.map((root) => (((root - last) * first) / (first - last)) ** 2)
}

/** ᾱ where the sample is divided by its square root: at zero terminal SNR a last ᾱ that is small instead of nothing. */
export function alphasAboveZero(config: SchedulerConfig): number[] {
  const alphas = rescaled(config)
  if (config.rescale_betas_zero_snr) alphas[alphas.length - 1] = 2 ** -24
  return alphas
}
