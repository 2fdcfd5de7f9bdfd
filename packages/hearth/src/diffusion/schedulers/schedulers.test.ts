// Every scheduler against trajectories that were recorded from its published formula in double precision
// (fixtures/record_schedulers.py), and against a solution that is known exactly.
import { scope, tensor, type DType, type Tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { recordedJson, relativeDistance } from '../../../test/recorded.js'
import { createScheduler, readSchedulerConfig, schedulerNames, type Scheduler } from '../index.js'

interface Case {
  scheduler: string
  what: string
  config: Record<string, unknown>
  steps: number
  options: { eta?: number }
  initNoiseSigma: number
  timesteps: number[]
  samples: number[]
}

const recorded = recordedJson<{ start: number[]; noises: number[]; cases: Case[] }>('schedulers.json')
const WIDTH = recorded.start.length
const created = ({ config, steps, options, scheduler }: Case): Scheduler =>
  createScheduler(config, { steps, ...options }, scheduler)

/** The model of the recording. */
function output(input: Tensor, time: number): Tensor {
  const waves = Array.from({ length: WIDTH }, (_, place) => 0.8 * Math.sin(0.003 * time + place))
  return input.mul(0.4).add(tensor(waves, { dtype: input.dtype }))
}

/** The samples after all steps, one below the other. */
function walk(scheduler: Scheduler, dtype: DType): number[] {
  const row = (numbers: number[]) => tensor(numbers, { dtype, shape: [1, WIDTH] })
  let sample = row(recorded.start).mul(scheduler.initNoiseSigma)
  return scheduler.timesteps.flatMap((time, i) => {
    const noise = row(recorded.noises.slice(i * WIDTH, (i + 1) * WIDTH))
    sample = scope(() => scheduler.step(output(scheduler.scaleModelInput(sample, i), time), i, sample, noise))
    return sample.toArray()
  })
}

const asTensor = (numbers: readonly number[]) => tensor([...numbers], { dtype: 'float64' })

describe.each(recorded.cases)('$scheduler: $what', (example) => {
  test('visits the recorded times, from the recorded noise', () => {
    const scheduler = created(example)
    expect(scheduler.timesteps).toHaveLength(example.timesteps.length)
    expect(relativeDistance(asTensor(scheduler.timesteps), asTensor(example.timesteps))).toBeLessThan(1e-12)
    expect(Math.abs(scheduler.initNoiseSigma / example.initNoiseSigma - 1)).toBeLessThan(1e-12)
  })

  test.each([
    ['float64', 1e-10],
    ['float32', 1e-5],
  ] as const)('gives the recorded samples in %s', (dtype, tolerance) => {
    expect(relativeDistance(asTensor(walk(created(example), dtype)), asTensor(example.samples))).toBeLessThan(tolerance)
  })
})

describe('a scheduler', () => {
  test('has a recording under each name', () => {
    expect(new Set(recorded.cases.map(({ scheduler }) => scheduler))).toEqual(new Set(schedulerNames))
  })

  test.each(schedulerNames)('%s mixes noise into a batch, each sample at its time', (name) => {
    const scheduler = createScheduler({}, { steps: 8 }, name)
    const [clean, noise] = [asTensor([1, 2, 3, 4]).view([2, 2]), asTensor([0.5, -1, 2, -3]).view([2, 2])]
    const [early, late] = [scheduler.timesteps[3]!, scheduler.timesteps[6]!]
    const both = scheduler.addNoise(clean, noise, [early, late]).toArray()
    expect(both.slice(0, 2)).toEqual(scheduler.addNoise(clean, noise, [early]).toArray().slice(0, 2))
    expect(both.slice(2)).toEqual(scheduler.addNoise(clean, noise, [late]).toArray().slice(2))
    expect(() => scheduler.addNoise(clean, noise, [early, early, late])).toThrow(/2 samples .* 3 times/)
  })
})

describe('a configuration', () => {
  test('says everything that is wrong with it', () => {
    const wrong = { beta_start: 2, prediction_type: 'noise', use_beta_sigmas: true }
    expect(() => readSchedulerConfig(wrong)).toThrow(/beta_start[^]*prediction_type[^]*use_beta_sigmas/)
  })

  test('takes null for a field that is left out', () => {
    expect(readSchedulerConfig({ trained_betas: null }).num_train_timesteps).toBe(1000)
  })

  test('names the schedulers there are when it asks for another', () => {
    expect(() => createScheduler({ _class_name: 'KDPM2DiscreteScheduler' }, { steps: 5 })).toThrow(/DDIMScheduler/)
    expect(() => createScheduler({}, { steps: 5 })).toThrow(/nothing is not known/)
  })

  test('refuses steps that training had no times for', () => {
    expect(() => createScheduler({}, { steps: 1001 }, 'DDIMScheduler')).toThrow(/from 1 to 1000/)
    expect(() => createScheduler({ steps_offset: 1 }, { steps: 1000 }, 'DDIMScheduler')).toThrow(/after the last/)
  })

  test('refuses a model of the noise where only noise is left', () => {
    const json = { rescale_betas_zero_snr: true }
    expect(() => createScheduler(json, { steps: 5 }, 'DDIMScheduler')).toThrow(/rescale_betas_zero_snr/)
  })
})
