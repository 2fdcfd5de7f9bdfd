// How long one step of a run takes on this machine, tried on random tokens before the run begins: from it follows how
// many steps fit the time a person is willing to wait.
import type { TextBatch } from 'hearth/data'
import { createModel, placeModel, presetConfigs } from 'hearth/models'
import { computeDtype, nextToken, optimizerOf, scheduleOf, Trainer, type RunConfig } from 'hearth/train'

const WARM_UP_STEPS = 3
const MEASURED_STEPS = 9

/**
 * Median seconds of a step of this configuration, from a dozen steps on a model that is thrown away.
 * @param config of a preset with a vocabulary of its own
 */
export async function secondsPerStep(config: RunConfig): Promise<number> {
  const { batch, sequenceLength, slots, seed, device, activationCheckpointing } = config
  const vocabularySize = config.tokenizer.vocabularySize
  const json = { ...presetConfigs[config.model.preset!], ...config.model.config, vocab_size: vocabularySize }
  const model = placeModel(createModel(json, { seed }), device)
  const dtype = computeDtype(config)
  const trainer = new Trainer({
    weights: model.weights,
    objective: nextToken(model),
    batches: { slotAt: (step) => randomBatch(step, [batch / slots, sequenceLength], vocabularySize) },
    optimizer: optimizerOf(config, dtype),
    schedule: scheduleOf(config),
    clip: config.optimizer.clip,
    ...{ slots, dtype, device, seed, activationCheckpointing },
  })
  try {
    const seconds: number[] = []
    for await (const step of trainer.steps(WARM_UP_STEPS + MEASURED_STEPS)) seconds.push(step.seconds)
    return seconds.slice(WARM_UP_STEPS).sort((a, b) => a - b)[Math.floor(MEASURED_STEPS / 2)]!
  } finally {
    for (const tensor of Object.values(trainer.state.tensors)) tensor.dispose()
  }
}

function randomBatch(step: number, shape: readonly [number, number], vocabularySize: number): TextBatch {
  const ids = (salt: number) =>
    Int32Array.from({ length: shape[0] * shape[1] }, (_, i) => ((i + 1) * 7919 * (step + salt)) % vocabularySize)
  return { inputs: ids(1), targets: ids(2), shape }
}
