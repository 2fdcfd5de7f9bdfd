// `hearth quickstart`: from nothing to a model that writes, in minutes, and what was learned on the way.
import { defineCommand } from '../command.js'
import { formatDuration } from '../format.js'
import { RUNS_FOLDER } from '../locate.js'

export const quickstart = defineCommand({
  name: 'quickstart',
  summary: 'train a first model on real text, and let it write',
  description: [
    'Trains spark, a model of 10M parameters, from scratch: first its tokenizer, then the model, on the State of the Union addresses and Moby-Dick, which are installed with Hearth. A short measurement of this machine decides how many steps fit the time.',
    'At the end it says how well the model predicts addresses that it never saw, beside what compression programs make of them, lets it write, and names three commands to go on with.',
  ],
  arguments: {},
  options: {
    minutes: { kind: 'number', value: 'N', default: 5, minimum: 0.1, description: 'time for everything' },
    set: { kind: 'list', value: 'PATH=VALUE', description: 'change a field of the configuration' },
    runs: { kind: 'text', value: 'DIR', default: RUNS_FOLDER, description: 'folder that holds the runs' },
    json: { kind: 'flag', description: 'print the result as JSON' },
  },
  examples: [
    { line: 'hearth quickstart', does: 'A first model' },
    { line: 'hearth quickstart --minutes 20', does: 'More time, a better model' },
  ],
  async run({ options: { minutes, set, runs, json }, terminal }) {
    const { printResult, watchRun } = await import('../run-session.js')
    const { measureLearned, planQuickstart, printLearned, printNext, speak } = await import('../quickstart/index.js')
    const { startRun } = await import('hearth/train')
    const { loadModel } = await import('hearth/formats')
    const started = performance.now()
    terminal.note('Training a language model from scratch on the State of the Union addresses and Moby-Dick.')
    terminal.note('Measuring this machine …')
    const { config, dir, secondsPerStep } = await planQuickstart(minutes, runs, set)
    terminal.note(
      `${config.steps} steps of ${(1000 * secondsPerStep).toFixed(0)} ms fit, in ${dir}. Ctrl+C stops and saves.`,
    )
    const result = await watchRun(terminal, (hooks) => startRun(config, { dir, ...hooks }))
    if (result.model === undefined) {
      if (json) terminal.json(result)
      else printResult(terminal, result)
      return
    }
    const model = loadModel(result.model)
    const learned = await measureLearned(dir, model, config, terminal)
    const seconds = (performance.now() - started) / 1000
    if (json) {
      terminal.json({ ...result, seconds, ...learned })
      return
    }
    terminal.print(terminal.colors.green(`Done: ${result.step} steps, ${formatDuration(seconds)} in all, in ${dir}.`))
    printLearned(learned, terminal)
    await speak(dir, model, config.samplePrompt, terminal)
    printNext(dir, terminal)
  },
})
