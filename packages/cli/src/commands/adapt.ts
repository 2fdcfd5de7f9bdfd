// `hearth adapt`: from a model and rows to an adapter, or to changed weights, as a run.
import { join } from 'node:path'
import { defineCommand } from '../command.js'
import { RUNS_FOLDER } from '../locate.js'
import type { RunHooks } from '../run-session.js'

const RECIPES = ['lora', 'qlora', 'dora', 'freeze', 'full', 'dpo', 'orpo', 'kto'] as const

export const adapt = defineCommand({
  name: 'adapt',
  summary: 'adapt a model to rows: questions and answers, conversations, preferences',
  description: [
    'Trains a small change of a model (LoRA), some of its weights or all, on DATA: rows in .jsonl, .json, .csv or .parquet. Their shape is seen from their fields: text; prompt and completion; instruction, input and output; messages; conversations; prompt, chosen and rejected; prompt, completion and label. Answers alone are trained on. --preview shows which tokens, and trains nothing.',
    'It is a run like any other: `hearth resume` goes on with it, with the same bits. At its end lies an adapter folder (PEFT), and with --merge the changed model. Any field can be changed with --set; docs/cli/configuration.md lists them under adapt.',
  ],
  arguments: {
    model: { description: 'Hugging Face folder, owner/name on the hub, or a finished run', required: true },
    data: { description: 'files, folders or globs of rows', many: true },
  },
  options: {
    recipe: {
      kind: 'text',
      value: 'NAME',
      default: 'lora',
      choices: RECIPES,
      description: 'what is trained, and to what end',
    },
    base: {
      kind: 'text',
      value: 'FORMAT',
      choices: ['nf4', 'int8'],
      description: 'keep the model in 4 or 8 bits meanwhile (of lora, dora and preferences); nf4 for qlora',
    },
    template: {
      kind: 'text',
      value: 'NAME',
      description: 'chat template; the tokenizer’s own, or plain, when it is not given',
    },
    epochs: { kind: 'number', value: 'N', default: 3, minimum: 0, description: 'times that every row is trained on' },
    merge: { kind: 'flag', description: 'write the changed model as a Hugging Face folder too' },
    preview: {
      kind: 'flag',
      description: 'show the tokens of the first rows, trained ones in colour, and the counts; do nothing',
    },
    set: { kind: 'list', value: 'PATH=VALUE', description: 'change a field of the configuration' },
    name: {
      kind: 'text',
      value: 'NAME',
      description: 'name of the run; made of model and recipe when it is not given',
    },
    runs: { kind: 'text', value: 'DIR', default: RUNS_FOLDER, description: 'folder that holds the runs' },
    workers: { kind: 'integer', value: 'N', minimum: 1, description: 'worker processes that share each step' },
    dryRun: { kind: 'flag', description: 'print the whole configuration as JSON, and do nothing' },
    json: { kind: 'flag', description: 'print the result as JSON' },
  },
  examples: [
    { line: 'hearth adapt models/pythia-160m answers.jsonl', does: 'LoRA on questions and answers' },
    { line: 'hearth adapt runs/quickstart answers.jsonl --preview', does: 'See what would be trained on' },
    {
      line: 'hearth adapt models/pythia-160m pairs.jsonl --recipe dpo --set adapt.rank=32',
      does: 'Learn from preferences',
    },
  ],
  async run({ arguments: { model: word, data }, options, terminal }) {
    const { openAdaptation, withSteps } = await import('../adaptation.js')
    const { config, ...prepared } = await openAdaptation(word, { ...options, data })
    if (options.preview) {
      const { printPreview } = await import('../row-preview.js')
      printPreview(terminal, config, prepared, options.json)
      return
    }
    const chosen = options.set.some((setting) => setting.startsWith('steps='))
      ? config
      : withSteps(config, prepared.rows, options.epochs)
    if (options.dryRun) {
      terminal.json(chosen)
      return
    }
    const { startRun } = await import('hearth/train')
    const { printResult, watchRun, workersOf } = await import('../run-session.js')
    const workers = { workers: options.workers, minWorkers: undefined, replaceSlow: false }
    const dir = join(options.runs, chosen.name)
    const start = (hooks: RunHooks) => startRun(chosen, { dir, ...hooks, ...workersOf(workers) })
    const result = await watchRun(terminal, start, { dir, workers })
    if (options.json) terminal.json(result)
    else printResult(terminal, result)
  },
})
