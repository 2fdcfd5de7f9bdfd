// Lines and paths for a person to paste, as they work here: `hearth ...` where it is installed, `npx hearth ...` in a clone.
import { existsSync } from 'node:fs'
import { delimiter, join, relative } from 'node:path'

/** Words as one line for a shell. */
export function commandLine(...words: readonly string[]): string {
  return [prefix(), ...words.map(quoted)].join(' ')
}

// npm and npx put node_modules/.bin in the path of what they start; the person's own shell does not have it.
function prefix(): string {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'))
  return folders.some((folder) => existsSync(join(folder, 'hearth'))) ? 'hearth' : 'npx hearth'
}

const quoted = (word: string): string => (/^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)

/** A path as a person in this folder would write it. */
export const shortPath = (path: string): string => {
  const shorter = relative('', path)
  return shorter.startsWith('..') ? path : shorter
}
