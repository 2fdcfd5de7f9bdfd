/**
 * The column names of a .csv file: its first record, by RFC 4180. DuckDB would guess them from the rows that follow, and
 * fail without saying where when one of those is malformed.
 */
import { fileBytes } from './bytes.js'
import type { SourceFile } from './sources.js'

/** Names in the first line; empty when the file has no complete first record within its first megabyte. */
export async function csvColumns(file: SourceFile): Promise<string[]> {
  for await (const bytes of fileBytes(file)) {
    return firstRecord(new TextDecoder().decode(bytes.subarray(0, 1 << 20)))
  }
  return []
}

/** Fields of the first record of CSV text: `a,"b, ""c"""` has the fields `a` and `b, "c"`. */
export function firstRecord(text: string): string[] {
  const fields: string[] = []
  let at = 0
  for (;;) {
    const field = /"((?:[^"]|"")*)"|[^,\r\n]*/y
    field.lastIndex = at
    const match = field.exec(text)!
    fields.push(match[1]?.replaceAll('""', '"') ?? match[0])
    at = field.lastIndex
    if (text[at] !== ',') return fields
    at++
  }
}
