// Euler's method on the probability-flow equation: Karras et al., "Elucidating the Design Space of Diffusion-Based
// Generative Models", 2022, algorithm 2 without its added noise.
import type { SchedulerConfig } from './config.js'
import { pictureAtSigma } from './prediction.js'
import { combine, mixNoise, type Scheduler, type Trajectory } from './scheduler.js'
import { initialSigma, sigmaAt, sigmaSteps } from './sigmas.js'

export function euler(config: SchedulerConfig, { steps }: Trajectory): Scheduler {
  const walk = sigmaSteps(config, steps)
  const { timesteps, sigmas } = walk
  return {
    timesteps,
    initNoiseSigma: initialSigma(config, sigmas),
    usesNoise: false,
    scaleModelInput: (sample, i) => sample.div(Math.sqrt(sigmas[i]! ** 2 + 1)),
    step: (output, i, sample) => {
      const [sigma, next] = [sigmas[i]!, sigmas[i + 1]!]
      const picture = pictureAtSigma(config, output, sample, sigma)
      // The straight line from the sample to the picture, as far as the next level.
      return combine(next / sigma, sample, 1 - next / sigma, picture)
    },
    addNoise: (sample, noise, times) => mixNoise(sample, noise, times, (time) => [1, sigmaAt(walk, time)]),
  }
}
