/**
 * Looks into the files before work starts, so that hours of preparation do not end at a bad byte: text must be UTF-8
 * without NUL, tables must have the text column. Compressed text is checked at its beginning only, the rest when read.
 */
import { isUtf8 } from 'node:buffer'
import { fileBytes } from './bytes.js'
import { throwProblems } from './sources.js'
import type { SourceFile, SourceProblem } from './sources.js'
import { tableColumns, tableMessage } from './tables.js'

/**
 * Checks the contents of files.
 *
 * @param textColumn the column that holds the text, in tables
 * @throws DataError naming every file that cannot be used, and why
 */
export async function checkSources(files: readonly SourceFile[], textColumn: string): Promise<void> {
  const problems: SourceProblem[] = []
  for (const file of files) {
    try {
      const problem =
        (file.kind === 'parquet' ? undefined : await textProblem(file)) ??
        (file.kind === 'text' ? undefined : await tableProblem(file, textColumn))
      if (problem !== undefined) problems.push({ path: file.path, problem })
    } catch (error) {
      problems.push({ path: file.path, problem: `cannot be read: ${tableMessage(error)}` })
    }
  }
  throwProblems(problems)
}

async function textProblem(file: SourceFile): Promise<string | undefined> {
  let offset = 0
  let rest: Uint8Array = new Uint8Array(0)
  for await (const chunk of fileBytes(file)) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    if (offset === 0 && (startsWith(bytes, [0xff, 0xfe]) || startsWith(bytes, [0xfe, 0xff]))) {
      return 'is UTF-16, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW'
    }
    const nul = bytes.indexOf(0)
    if (nul >= 0) return `is not text: it has a NUL byte at offset ${offset + nul}`
    const complete = wholeCharacters(bytes, bytes.length)
    if (!isUtf8(bytes.subarray(0, complete))) return notUtf8(offset + firstInvalid(bytes, complete))
    if (file.compression !== 'none') return undefined
    offset += complete
    rest = bytes.subarray(complete)
  }
  return rest.length > 0 ? notUtf8(offset) : undefined
}

function notUtf8(offset: number): string {
  return `is not UTF-8 text: invalid byte at offset ${offset}; if it is Latin-1: iconv -f LATIN1 -t UTF-8 OLD > NEW`
}

function startsWith(bytes: Uint8Array, head: readonly number[]): boolean {
  return head.every((byte, i) => bytes[i] === byte)
}

/** The length up to `end` without a character that is cut off there. */
function wholeCharacters(bytes: Uint8Array, end: number): number {
  for (let back = 1; back <= Math.min(3, end); back++) {
    const byte = bytes[end - back]!
    if (byte < 0x80) return end
    if (byte >= 0xc0) return back < (byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4) ? end - back : end
  }
  return end
}

/** Offset of the first character that is not UTF-8, by halving. */
function firstInvalid(bytes: Uint8Array, end: number): number {
  let valid = 0
  let invalid = end
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >> 1
    if (isUtf8(bytes.subarray(0, wholeCharacters(bytes, middle)))) valid = middle
    else invalid = middle
  }
  return wholeCharacters(bytes, valid)
}

const notText = /^(STRUCT|MAP|UNION|BOOLEAN|FLOAT|DOUBLE|DECIMAL|U?(TINY|SMALL|BIG|HUGE)?INT)|\]$|^INTEGER$|^UINTEGER$/

async function tableProblem(file: SourceFile, textColumn: string): Promise<string | undefined> {
  const columns = await tableColumns(file)
  const column = columns.find(({ name }) => name === textColumn)
  if (column === undefined) {
    const names = columns.map(({ name }) => name).join(', ')
    return `has no column '${textColumn}'; its columns are: ${names}. Name the one that holds the text as textColumn`
  }
  if (notText.test(column.type)) return `column '${textColumn}' holds ${column.type}, not text`
  return undefined
}
