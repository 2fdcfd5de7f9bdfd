// `hearth resume`: a run goes on from its newest checkpoint.
import { defineCommand } from '../command.js'
import { locateRun } from '../locate.js'

export const resume = defineCommand({
  name: 'resume',
  summary: 'go on with a run that was stopped',
  description: [
    'Goes on from the newest checkpoint that is whole, with the same bits as if the run had never stopped. A damaged checkpoint is refused, said so, and the one before it is used.',
  ],
  arguments: { run: { description: 'folder of a run, or its name in ./runs', required: true } },
  options: {
    json: { kind: 'flag', description: 'print the result as JSON' },
  },
  examples: [{ line: 'hearth resume runs/spark', does: 'Go on where it stopped' }],
  async run({ arguments: { run: word }, options, terminal }) {
    const dir = locateRun(word)
    const { resumeRun } = await import('hearth/train')
    const { printResult, watchRun } = await import('../run-session.js')
    const result = await watchRun(terminal, { dir, run: (hooks) => resumeRun(dir, hooks) })
    if (options.json) terminal.json(result)
    else printResult(terminal, result)
  },
})
