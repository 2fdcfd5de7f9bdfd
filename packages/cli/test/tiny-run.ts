// A run small enough for a test: a model of 80,000 parameters on four poems, some seconds a run.
import { fileURLToPath } from 'node:url'

export const poems = fileURLToPath(new URL('../../../examples/texts/carroll.txt', import.meta.url))

/** Changes to the shape of spark. */
export const tinyModel = {
  hidden_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 2,
  head_dim: 24,
  intermediate_size: 96,
}

/** The arguments of a tiny run; later settings win. */
export const tinyRun = (name: string, ...settings: string[]): string[] => {
  const own = [
    'steps=12',
    'batch=2',
    'sequenceLength=16',
    'tokenizer.vocabularySize=300',
    'data.heldOutFraction=0.3',
    'optimizer.learningRate=0.003',
    'every.evaluate=6',
    'every.checkpoint=4',
    'every.log=1',
    'keepCheckpoints=3',
    'schedule.warmupSteps=2',
    `model.config=${JSON.stringify(tinyModel)}`,
  ]
  return ['train', poems, '--name', name, ...[...own, ...settings].flatMap((setting) => ['--set', setting])]
}
