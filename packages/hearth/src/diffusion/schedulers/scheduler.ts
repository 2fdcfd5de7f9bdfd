// What every scheduler offers: it walks a sample from noise to a picture, one model output at a time. The coefficients
// are plain numbers in double precision; a step is a few elementwise sums of tensors in the sample's own dtype.
import { HearthError, tensor, type Tensor } from '@hearth/torch'

/** One trajectory: several steps in order. Multistep schedulers remember outputs of the steps before. */
export interface Scheduler {
  /** The time that the model is told at each step, latest first; from 0 to num_train_timesteps, not always whole. */
  readonly timesteps: readonly number[]
  /** Standard deviation of the noise that a trajectory begins with. */
  readonly initNoiseSigma: number
  /** Whether `step` draws noise, which its caller then gives. */
  readonly usesNoise: boolean
  /** The sample as the model is to see it at step i. */
  scaleModelInput(sample: Tensor, i: number): Tensor
  /**
   * The sample after step i. A trajectory may begin at any i and goes on one by one from there.
   * @param modelOutput what the model says of `scaleModelInput(sample, i)`, of the sample's shape; for a learned
   *   variance twice as many along dimension 1
   * @param noise standard normal, of the sample's shape; needed where `usesNoise`
   */
  step(modelOutput: Tensor, i: number, sample: Tensor, noise?: Tensor): Tensor
  /**
   * Clean samples (B, ...) as they are at times out of `timesteps`, one for each or one for all: where pictures that
   * begin with a picture begin.
   */
  addNoise(sample: Tensor, noise: Tensor, timesteps: readonly number[]): Tensor
}

/** What a trajectory needs besides the configuration. */
export interface Trajectory {
  /** How many steps; schedulers of higher order may call the model more often. */
  steps: number
  /** DDIM's share of fresh noise, from 0 (none) to 1 (as much as DDPM). */
  eta?: number
}

/** a x + b y: nearly all arithmetic of schedulers. */
export function combine(a: number, x: Tensor, b: number, y: Tensor): Tensor {
  return x.mul(a).add(y, { alpha: b })
}

/** @throws HearthError where the noise of a step is missing */
export function required(noise: Tensor | undefined, scheduler: string): Tensor {
  if (noise === undefined) throw new HearthError(`a step of ${scheduler} needs noise, and none was given`)
  return noise
}

/** a x + s noise with numbers a and s for each sample of the batch, or one for all. */
export function mixNoise(
  sample: Tensor,
  noise: Tensor,
  timesteps: readonly number[],
  mix: (time: number) => readonly [signal: number, noise: number],
): Tensor {
  const rows = sample.shape[0] ?? 1
  if (timesteps.length !== 1 && timesteps.length !== rows)
    throw new HearthError(`noise for ${rows} samples was asked for at ${timesteps.length} times; give one, or ${rows}`)
  const mixes = timesteps.map(mix)
  if (mixes.length === 1) return combine(mixes[0]![0], sample, mixes[0]![1], noise)
  const column = (which: 0 | 1) =>
    columnLike(
      sample,
      mixes.map((pair) => pair[which]),
    )
  return sample.mul(column(0)).add(noise.mul(column(1)))
}

/** One number for each sample of a batch, in a shape that meets the batch: (B, 1, ..., 1). */
function columnLike(batch: Tensor, numbers: number[]): Tensor {
  const shape = batch.shape.map((_, dim) => (dim === 0 ? numbers.length : 1))
  return tensor(numbers, { dtype: batch.dtype, device: batch.device }).view(shape)
}
