// Which configuration `hearth train RECIPE DATA...` means: a built-in recipe, a TypeScript or JavaScript file that exports
// a function (run as code, like any import), or a .json file. Settings are placed afterwards (settings.ts).
import { recipes, type Recipe } from '@hearth/recipes'
import { suggestion, type RunConfigInput } from 'hearth/train'
import { existsSync, readFileSync } from 'node:fs'
import { register } from 'node:module'
import { basename, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { CommandError } from './failure.js'

/** The recipe when only data is given. */
export const DEFAULT_RECIPE = 'spark'

export interface ChosenRecipe {
  /** Where the configuration comes from, for messages. */
  origin: string
  config: object
}

/**
 * Finds and calls the recipe. A first word that is no recipe but an existing path is data.
 * @throws CommandError when there is no such recipe, or its file does not hold one
 */
export async function chooseRecipe(word: string | undefined, data: readonly string[]): Promise<ChosenRecipe> {
  if (word === undefined)
    throw new CommandError(
      'there is nothing to train on',
      'hearth train DATA... (files, folders or globs of text); hearth train --list names the recipes',
    )
  const named = recipes.find(({ name }) => name === word)
  if (named) return { origin: `recipe ${word}`, config: named.recipe(requireData(word, data)) }
  if (/\.(m?[jt]s|json)$/.test(word)) return loadFile(word, data)
  if (existsSync(word) || /[*?[{/]/.test(word)) return chooseRecipe(DEFAULT_RECIPE, [word, ...data])
  const near = suggestion(
    word,
    recipes.map(({ name }) => name),
  )
  throw new CommandError(
    `there is no recipe ${JSON.stringify(word)} and no file or folder of that name${near}`,
    'hearth train --list names the recipes',
  )
}

function requireData(recipe: string, data: readonly string[]): readonly string[] {
  if (data.length > 0) return data
  throw new CommandError(
    `recipe ${recipe} has nothing to train on`,
    `hearth train ${recipe} DATA... (files, folders or globs of text)`,
  )
}

async function loadFile(file: string, data: readonly string[]): Promise<ChosenRecipe> {
  if (!existsSync(file)) throw new CommandError(`there is no recipe file ${file}`)
  const exported = file.endsWith('.json') ? readJson(file) : await importRecipe(file)
  const config: unknown =
    typeof exported === 'function'
      ? await runTheirs(file, () => Promise.resolve((exported as Recipe)(data)))
      : withData(exported, data)
  if (typeof config === 'object' && config !== null) return { origin: file, config }
  throw new CommandError(`${file} gives ${String(config)}; expected the configuration of a run`)
}

/** Code of the person's own: what it throws is theirs to mend, so they see where in their file it was. */
async function runTheirs<T>(file: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    if (!(error instanceof Error)) throw new CommandError(`${file} threw ${String(error)}`)
    const place = error.stack?.split('\n').find((line) => line.includes(basename(file)) && /^\s+at /.test(line))
    throw new CommandError(`${file} does not run: ${error.message}${place === undefined ? '' : `\n${place}`}`)
  }
}

/** A plain object takes the data of the line in place of its own. */
function withData(config: unknown, data: readonly string[]): unknown {
  if (data.length === 0 || typeof config !== 'object' || config === null) return config
  const own = config as Partial<RunConfigInput>
  return { ...own, data: { ...own.data, sources: data.map((path) => ({ path })) } }
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as unknown
  } catch (error) {
    throw new CommandError(`${file} is not JSON: ${(error as Error).message}`)
  }
}

/** The default export of the file, or else its only one. */
async function importRecipe(file: string): Promise<unknown> {
  // A recipe may lie anywhere: where its own folder has no Hearth installed, it gets this one.
  register(new URL('own-packages.js', import.meta.url))
  const { tsImport } = await import('tsx/esm/api')
  const { href } = pathToFileURL(resolve(file))
  const module = await runTheirs(file, async () => (await tsImport(href, import.meta.url)) as Record<string, unknown>)
  const names = Object.keys(module).filter((name) => name !== 'default')
  const exported = module.default ?? (names.length === 1 ? module[names[0]!] : undefined)
  if (typeof exported === 'function' || (typeof exported === 'object' && exported !== null)) return exported
  const found = names.length === 0 ? 'nothing' : names.join(', ')
  throw new CommandError(
    `${file} exports no recipe: found ${found}, expected a default export`,
    'export default (data) => ({ ...spark(data), steps: 500 })',
  )
}
