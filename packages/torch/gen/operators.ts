// The operators that get typed functions, with their schemas: the allow-list joined to the dump.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { readAllowList } from './allow-list.js'
import type { Operator } from './emit.js'
import { parseSchema } from './parse.js'

const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))

/** The oldest supported version decides the types: every later one must have these operators too. */
export const BASE = 'schema/aten-1.13.txt'

/** The allow-list's operators with their schemas; a line that the dump lacks stops the build. */
export function readOperators(): Operator[] {
  const lines = new Map<string, string>()
  for (const line of readFileSync(at(BASE), 'utf8').split('\n')) lines.set(line.slice(0, line.indexOf('(')), line)
  return readAllowList(readFileSync(at('schema/ops.txt'), 'utf8')).map((entry) => ({
    entry,
    schemas: entry.overloads.map((overload) => {
      const line = lines.get(overload)
      if (line === undefined) throw new Error(`schema/ops.txt: ${overload} is not in ${BASE}`)
      return parseSchema(line)
    }),
  }))
}
