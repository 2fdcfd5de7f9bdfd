// This machine as an entry of the planner's catalogue, measured as `hearth doctor` measures.
import { findModel, type Hardware } from 'hearth/plan'
import { presetNames } from 'hearth/models'
import { resolveConfig } from 'hearth/train'
import { describeEngine, describeMachine, measureMachine } from '../doctor/index.js'
import { CommandError } from '../failure.js'
import { secondsPerStep } from '../quickstart/index.js'

/** Its name in plans. */
export const THIS_MACHINE = 'this-machine'

/** What training by Hearth reaches of the measured rate of matrix products: between spark's and GPT-2's steps here. */
const EFFICIENCY = 0.75
/** A processor of a desktop or a small server, with its memory. */
const WATTS = 100
/** Gigabit Ethernet, in GB/s. */
const NETWORK = 0.125

/** Takes two seconds. */
export function measureThisMachine(): Hardware {
  const { memoryBytes } = describeMachine()
  const { fastBfloat16 } = describeEngine()
  const measured = measureMachine()
  const rate = fastBfloat16 ? Math.max(measured.matmulBfloat16, measured.matmulFloat32) : measured.matmulFloat32
  return {
    kind: 'processor',
    arithmetic: fastBfloat16 ? 'bfloat16' : 'float32',
    peak: rate / 1000,
    memory: memoryBytes / 2 ** 30,
    bandwidth: measured.memoryRead,
    link: measured.memoryRead,
    network: NETWORK,
    perMachine: 1,
    hostMemory: memoryBytes / 2 ** 30,
    hostLink: measured.memoryRead,
    watts: WATTS,
    efficiency: EFFICIENCY,
    priceBasis: 'a machine that is there: give --price or --electricity to count it',
  }
}

/**
 * Median seconds of a step of a preset on this machine, from a dozen steps on random tokens.
 * @throws CommandError for what is no preset; its weights are not there to train
 */
export async function tryStep(word: string, batch: number, length: number): Promise<number> {
  const { shape } = findModel(word)
  if (!presetNames.includes(word)) throw new CommandError('--try is for presets', 'name one: hearth plan spark --try')
  const config = resolveConfig(
    {
      name: 'try',
      steps: 100,
      batch: Math.max(1, Math.round(batch / length)),
      sequenceLength: length,
      model: { preset: word },
      tokenizer: { vocabularySize: shape.vocabularySize },
      data: { sources: [{ path: '.' }] },
      optimizer: { learningRate: 1e-3 },
      schedule: { warmupSteps: 1 },
    },
    '--try',
  )
  return await secondsPerStep(config)
}
