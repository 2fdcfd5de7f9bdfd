// What a recipe is: a function from where the text lies to the whole configuration of a run. A variant calls another
// recipe and changes a few fields; nothing is inherited, registered or merged behind the reader's back.
import type { RunConfigInput } from 'hearth/train'

/**
 * A run's whole configuration.
 * @param data files, folders or globs of text
 * @example
 * // my-recipe.ts, run by: hearth train my-recipe.ts my-texts/
 * import { spark } from '@hearth/recipes'
 * export default (data: string[]) => ({ ...spark(data), name: 'longer', steps: 20_000 })
 */
export type Recipe = (data: readonly string[]) => RunConfigInput

/** Every path as a source of the same weight: its share of the tokens is its share of the text. */
export const sourcesOf = (data: readonly string[]): RunConfigInput['data']['sources'] => data.map((path) => ({ path }))
