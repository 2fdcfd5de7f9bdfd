// `hearth train`: from a recipe, data and settings to a run.
import { join } from 'node:path'
import { defineCommand } from '../command.js'
import { workerOptions } from '../worker-options.js'
import type { RunHooks } from '../run-session.js'
import { RUNS_FOLDER } from '../locate.js'
import { hostOptions, parseHosts, runOnHosts } from '../hosts/index.js'
import { ranksOf, rankOptions } from '../rank-options.js'
import { table } from '../table.js'
import type { Terminal } from '../terminal.js'

export const train = defineCommand({
  name: 'train',
  summary: 'train a model on text',
  description: [
    'Trains a language model from scratch, or from a Hugging Face folder (--set model.folder=...). RECIPE is one of the built-in recipes, or a .ts, .js or .json file that gives a configuration; without one, spark is trained on DATA. DATA are files, folders or globs of text: .txt .md .jsonl .csv .parquet, also compressed (.gz, .zst).',
    'Any field of the configuration can be changed with --set; docs/cli/configuration.md lists the fields. The run is a folder with its configuration, metrics, samples, checkpoints and, at the end, the model. Ctrl+C finishes the step and saves; `hearth resume` goes on from there with the same bits.',
  ],
  arguments: {
    recipe: { description: 'name of a recipe, or a .ts, .js or .json file' },
    data: { description: 'files, folders or globs of text', many: true },
  },
  options: {
    set: { kind: 'list', value: 'PATH=VALUE', description: 'change a field of the configuration' },
    name: { kind: 'text', value: 'NAME', description: 'name of the run; the recipe’s own when it is not given' },
    runs: { kind: 'text', value: 'DIR', default: RUNS_FOLDER, description: 'folder that holds the runs' },
    ...workerOptions,
    ...rankOptions,
    ...hostOptions,
    dryRun: { kind: 'flag', description: 'print the whole configuration as JSON, and do nothing' },
    list: { kind: 'flag', description: 'list the recipes, and do nothing' },
    json: { kind: 'flag', description: 'print the result as JSON' },
  },
  examples: [
    { line: 'hearth train my-notes/', does: 'Train spark on every text in a folder' },
    {
      line: 'hearth train ember books/ --name books --set steps=2000',
      does: 'A larger model, under a name of its own',
    },
    {
      line: 'hearth train ember books/ --ranks 2 --sharding everything',
      does: 'Two processes that each hold half of the weights and of the optimizer',
    },
    { line: 'hearth train my-recipe.ts texts.jsonl --dry-run', does: 'See what a recipe of your own comes to' },
  ],
  async run({ arguments: { recipe, data }, options, terminal }) {
    if (options.list) return listRecipes(terminal, options.json)
    const ranks = ranksOf(options, 'train')
    const { chooseRecipe } = await import('../recipe-file.js')
    const { applySettings } = await import('../settings.js')
    const { resolveConfig, startRun } = await import('hearth/train')
    const { origin, config: chosen } = await chooseRecipe(recipe, data)
    const named = options.name === undefined ? [] : [`name=${JSON.stringify(options.name)}`]
    const config = resolveConfig(applySettings(chosen, [...slotsFor(options), ...options.set, ...named]), origin)
    if (options.dryRun) {
      terminal.json(config)
      return
    }
    const { printResult, watchRun, workersOf } = await import('../run-session.js')
    const dir = join(options.runs, config.name)
    const { hosts } = options
    const start = async (hooks: RunHooks) => {
      if (hosts === undefined) return await startRun(config, { dir, ...hooks, ...workersOf(options), ...ranks })
      return await runOnHosts(dir, { config }, { ...options, hosts }, hooks)
    }
    const guarded = { dir, workers: options, ranks: options.ranks !== undefined }
    const result = await watchRun(terminal, start, hosts === undefined ? guarded : undefined)
    if (options.json) terminal.json(result)
    else printResult(terminal, result)
  },
})

interface Processes {
  workers: number | undefined
  ranks: number | undefined
  hosts: string | undefined
}

/** Processes share the slots of a step: a run that begins with some has as many, unless it is told otherwise. */
function slotsFor({ workers, ranks, hosts }: Processes): string[] {
  if (hosts !== undefined) return [`slots=${parseHosts(hosts, 'train').length * (workers ?? 1)}`]
  const slots = workers ?? ranks
  return slots === undefined ? [] : [`slots=${slots}`]
}

async function listRecipes(terminal: Terminal, json: boolean): Promise<void> {
  const { recipes } = await import('@hearth/recipes')
  const rows = recipes.map(({ name, summary }) => ({ name, summary }))
  if (json) terminal.json(rows)
  else terminal.print(table(rows.map(({ name, summary }) => [name, summary])))
}
