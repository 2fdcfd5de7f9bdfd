// A fine-tuning job of a server as a line of this command: `hearth adapt`, or `hearth resume` where the run is there already.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hyperparametersOf, type LaunchJob } from 'hearth/serve'
import { recipeRate } from './adaptation.js'

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url))

/** OpenAI's words for the settings, in those of `hearth adapt`. */
export const launchJob: LaunchJob = ({ path, data, folder, name, request, resume }) => {
  const recipe = request.method?.type === 'dpo' ? 'dpo' : 'lora'
  const {
    n_epochs: epochs,
    batch_size: batch,
    learning_rate_multiplier: multiplier = 1,
    beta,
  } = hyperparametersOf(request)
  const settings = [
    `optimizer.learningRate=${recipeRate(recipe) * multiplier}`,
    ...(batch === undefined ? [] : [`batch=${batch}`]),
    ...(request.seed === undefined ? [] : [`seed=${request.seed}`]),
    ...(recipe === 'dpo' && beta !== undefined ? [`adapt.beta=${beta}`] : []),
  ]
  const words = resume
    ? ['resume', join(folder, name)]
    : ['adapt', path, data, '--recipe', recipe, '--runs', folder, '--name', name]
  const more = resume ? [] : settings.flatMap((setting) => ['--set', setting])
  const times = resume || epochs === undefined ? [] : ['--epochs', String(epochs)]
  // In a group of its own: Ctrl+C is for the server, which then asks the run to save.
  return spawn(process.execPath, [MAIN, ...words, ...more, ...times], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
    detached: true,
  })
}
