// The model of a run that is not finished, from its newest checkpoint that is whole.
import { loadLatest, realStorage, type LoadedCheckpoint } from 'hearth/checkpoint'
import { Tokenizer } from 'hearth/data'
import { configure, preset, type LanguageModel, type Preset } from 'hearth/models'
import { readRun, runPaths, type RunConfig } from 'hearth/train'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CommandError } from './failure.js'

/**
 * Opens the newest whole checkpoint of a run as a model.
 * @param note is told which step it is, and of damaged checkpoints that were passed over
 * @throws CommandError when the run has none yet; CheckpointError when all are damaged
 */
export async function openRunCheckpoint(
  run: string,
  note: (text: string) => void,
): Promise<{ model: LanguageModel; tokenizer: Tokenizer }> {
  const onRefused = ({ path, problems }: { path: string; problems: readonly string[] }) =>
    note(`warning: checkpoint ${path} is refused, the one before it is used: ${problems.join('; ')}`)
  using checkpoint = await loadLatest(realStorage, runPaths(run).checkpoints, { onRefused })
  if (checkpoint === undefined)
    throw new CommandError(`the run ${run} has no checkpoint yet`, `let it go on: hearth resume ${run}`)
  note(`${run} is not finished: this is step ${checkpoint.step}.`)
  const { config } = readRun<RunConfig>(run)
  const tokenizer = await Tokenizer.load(join(run, 'tokenizer'))
  return { model: modelOf(shapeOf(config, tokenizer), checkpoint), tokenizer }
}

/** The model's configuration as the run made it: hearth/train, initialModel(). */
function shapeOf({ model, tokenizer: settings }: RunConfig, tokenizer: Tokenizer): Preset {
  if (model.folder !== undefined) return configure(readModelConfig(model.folder), model.folder)
  const { family, config } = preset(model.preset!)
  const vocabulary = settings.path === undefined ? { vocab_size: tokenizer.vocabSize } : {}
  const ends = { bos_token_id: tokenizer.beginOfText ?? tokenizer.endOfText, eos_token_id: tokenizer.endOfText }
  return configure({ ...family.toConfig(config), ...vocabulary, ...ends, ...model.config }, 'model.config')
}

const readModelConfig = (folder: string): unknown => JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))

function modelOf({ family, config }: Preset, checkpoint: LoadedCheckpoint): LanguageModel {
  const weights = family.build(config, { tensor: (path) => checkpoint.tensor(`weights.${path}`) })
  return { family, config, weights }
}
