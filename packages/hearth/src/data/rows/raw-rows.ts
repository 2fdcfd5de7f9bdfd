// Rows of .jsonl, .json, .csv and .parquet as they stand in the file. What they mean is decided by who reads them
// (read-rows.ts for fine-tuning, hearth/evaluate for tasks).
import { stat } from 'node:fs/promises'
import { DataError } from '@hearth/torch'
import { fileBytes } from '../documents/bytes.js'
import { lookForSources, type SourceFile } from '../documents/sources.js'
import { tableMessage, tableRows } from '../documents/tables.js'
import { RowProblems } from './row-problems.js'

/**
 * All rows of files, in their order.
 * @param sources files, folders and globs
 * @throws DataError naming every file and row that is wrong
 */
export async function readRawRows(sources: string | readonly string[]): Promise<Record<string, unknown>[]> {
  const problems = new RowProblems()
  const rows: Record<string, unknown>[] = []
  for (const file of await findRowFiles(sources, problems)) {
    try {
      for await (const row of rawRows(file)) {
        const where = `${file.path}: ${row.place}`
        if ('problem' in row) problems.add(where, row.problem)
        else if (typeof row.value !== 'object' || row.value === null || Array.isArray(row.value))
          problems.add(where, 'is no object with fields')
        else rows.push(row.value as Record<string, unknown>)
      }
    } catch (error) {
      problems.add(file.path, `cannot be read: ${error instanceof DataError ? error.message : tableMessage(error)}`)
    }
  }
  problems.throwIfAny()
  return rows
}

/** A file of rows; `.json` is one list of all. */
export type RowFile = Omit<SourceFile, 'kind'> & { kind: SourceFile['kind'] | 'json' }

/** The files behind sources; what is wrong with these is added to the problems. */
export async function findRowFiles(sources: string | readonly string[], problems: RowProblems): Promise<RowFile[]> {
  const files: RowFile[] = []
  const others: string[] = []
  for (const source of typeof sources === 'string' ? [sources] : sources) {
    const info = /\.json$/i.test(source) ? await stat(source).catch(() => undefined) : undefined
    if (info?.isFile())
      files.push({ path: source, kind: 'json', compression: 'none', bytes: info.size, modified: info.mtimeMs })
    else others.push(source)
  }
  if (others.length === 0 && files.length > 0) return files
  const found = await lookForSources(others)
  for (const { path, problem } of found.problems) problems.add(path, problem)
  for (const { path } of found.files.filter(({ kind }) => kind === 'text'))
    problems.add(
      path,
      'is plain text; expected rows: .jsonl, .json, .csv or .parquet (hearth train learns from plain text; or write one {"text": ...} a line into a .jsonl file)',
    )
  return [...files, ...found.files.filter(({ kind }) => kind !== 'text')]
}

/** A row as it stands, or why there is none; the place is empty where it is the whole file's. */
export type RawRow = { place: string } & ({ value: unknown } | { problem: string })

/** The values in a file, whatever they are. */
export async function* rawRows(file: RowFile): AsyncGenerator<RawRow> {
  if (file.kind === 'json') yield* jsonRows(file)
  else if (file.kind === 'jsonl') yield* lineRows(file as SourceFile)
  else {
    let number = 0
    for await (const text of tableRows(file as SourceFile))
      yield { place: `row ${++number}`, value: JSON.parse(text) as unknown }
  }
}

async function* jsonRows(file: RowFile): AsyncGenerator<RawRow> {
  const parts: Uint8Array[] = []
  for await (const bytes of fileBytes(file as SourceFile)) parts.push(bytes)
  const whole = parsed(Buffer.concat(parts), '')
  if ('problem' in whole) yield whole
  else if (!Array.isArray(whole.value))
    yield { place: '', problem: `holds a ${typeof whole.value}, expected a list of rows` }
  else for (const [i, value] of whole.value.entries()) yield { place: `row ${i + 1}`, value: value as unknown }
}

async function* lineRows(file: SourceFile): AsyncGenerator<RawRow> {
  let rest: Buffer = Buffer.alloc(0)
  let line = 0
  for await (const bytes of fileBytes(file)) {
    rest = rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([rest, bytes])
    let start = 0
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10, start)) {
      line++
      if (!isBlank(rest, start, end)) yield parsed(rest.subarray(start, end), `line ${line}`)
      start = end + 1
    }
    rest = rest.subarray(start)
  }
  if (!isBlank(rest, 0, rest.length)) yield parsed(rest, `line ${line + 1}`)
}

function isBlank(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i]! > 32) return false
  return true
}

function parsed(bytes: Uint8Array, place: string): RawRow {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return { place, problem: 'is not UTF-8 text; convert the file: iconv -t UTF-8' }
  }
  try {
    return { place, value: JSON.parse(text) as unknown }
  } catch (error) {
    return { place, problem: `is not JSON: ${(error as Error).message}` }
  }
}
