// `hearth resume`: a run goes on from its newest checkpoint.
import { defineCommand } from '../command.js'
import { locateRun } from '../locate.js'

export const resume = defineCommand({
  name: 'resume',
  summary: 'go on with a run that was stopped',
  description: [
    'Goes on from the newest checkpoint that is whole, with the same bits as if the run had never stopped. A damaged checkpoint is refused, said so, and the one before it is used.',
    'With --set, what does not decide the steps already done can change: steps (a longer or a shorter run), every.*, keepCheckpoints, evaluateTokens, samplePrompt and name. Anything else is refused, all of it at once, and the run is left as it was. The learning rate of the steps to come follows the schedule for the new number of steps; a finished run goes on too, and its model so far is kept beside the new one. The change is written to the run’s config.json.',
  ],
  arguments: { run: { description: 'folder of a run, or its name in ./runs', required: true } },
  options: {
    set: {
      kind: 'list',
      value: 'PATH=VALUE',
      description: 'change a field that the steps already done do not depend on',
    },
    workers: {
      kind: 'integer',
      value: 'N',
      minimum: 1,
      description: 'worker processes that share each step, under a supervisor that replaces those it loses',
    },
    json: { kind: 'flag', description: 'print the result as JSON' },
  },
  examples: [
    { line: 'hearth resume runs/spark', does: 'Go on where it stopped' },
    { line: 'hearth resume runs/spark --set steps=2000 --set every.sample=100', does: 'Train further, with samples' },
  ],
  async run({ arguments: { run: word }, options, terminal }) {
    const dir = locateRun(word)
    const { applySettings } = await import('../settings.js')
    const { resumeRun } = await import('hearth/train')
    const { printResult, watchRun, workersOf } = await import('../run-session.js')
    const change = (config: object) => applySettings(config, options.set, 'resume')
    const result = await watchRun(terminal, (hooks) => resumeRun(dir, { ...hooks, change, ...workersOf(options) }))
    if (options.json) terminal.json(result)
    else printResult(terminal, result)
  },
})
