// DDIM: Song, Meng, Ermon, "Denoising Diffusion Implicit Models", 2021, equation 12. Without noise (eta 0) a trajectory is
// a function of where it begins.
import type { SchedulerConfig } from './config.js'
import { alphasCumprod } from './noise-schedule.js'
import { bounded, mixOf, predictedNoise, predictedPicture } from './prediction.js'
import { combine, mixNoise, required, type Scheduler, type Trajectory } from './scheduler.js'
import { spacedTimesteps } from './timesteps.js'

export function ddim(config: SchedulerConfig, { steps, eta = 0 }: Trajectory): Scheduler {
  const alphas = alphasCumprod(config)
  const timesteps = spacedTimesteps(config, steps)
  const stride = Math.floor(config.num_train_timesteps / steps)
  const last = config.set_alpha_to_one ? 1 : alphas[0]!
  const alphaAt = (time: number) => (time >= 0 ? alphas[time]! : last)
  return {
    timesteps,
    initNoiseSigma: 1,
    usesNoise: eta > 0,
    scaleModelInput: (sample) => sample,
    step: (output, i, sample, noise) => {
      const [alpha, next] = [alphaAt(timesteps[i]!), alphaAt(timesteps[i]! - stride)]
      const mix = mixOf(alpha)
      const picture = bounded(config, predictedPicture(config, output, sample, mix))
      const direction = predictedNoise(config, output, sample, mix)
      // Equation 16: sigma, the standard deviation of the fresh noise.
      const sigma = eta * Math.sqrt(((1 - next) / (1 - alpha)) * (1 - alpha / next))
      const moved = combine(Math.sqrt(next), picture, Math.sqrt(1 - next - sigma * sigma), direction)
      return eta > 0 ? moved.add(required(noise, 'DDIM with eta above 0'), { alpha: sigma }) : moved
    },
    addNoise: (sample, noise, times) =>
      mixNoise(sample, noise, times, (time) => {
        const { a, s } = mixOf(alphaAt(time))
        return [a, s]
      }),
  }
}
