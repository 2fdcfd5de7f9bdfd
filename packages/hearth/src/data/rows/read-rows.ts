// Rows of fine-tuning data from .jsonl, .json, .csv and .parquet. All rows are read before any is used, and all that is
// wrong is said at once, with file, row and field. Rows are kept in memory: what people write by hand or by model fits.
import { stat } from 'node:fs/promises'
import { DataError } from '@hearth/torch'
import { fileBytes } from '../documents/bytes.js'
import { lookForSources, type SourceFile } from '../documents/sources.js'
import { tableMessage, tableRows } from '../documents/tables.js'
import { RowProblems } from './row-problems.js'
import { shapeOf, SHAPES, type Row, type Shape, type ShapeName } from './shapes.js'

export interface ReadRows {
  rows: Row[]
  /** Of each row its file, and its line or number there: `answers.jsonl: line 7`. */
  places: string[]
  shape: ShapeName
}

/**
 * Reads and checks rows. All must have one shape: that of the first.
 * @param sources files, folders and globs
 * @throws DataError naming every file, row and field that is wrong
 * @example
 * const { rows, shape } = await readRows('questions.jsonl')
 */
export async function readRows(sources: string | readonly string[]): Promise<ReadRows> {
  const problems = new RowProblems()
  const files = await findRowFiles(sources, problems)
  const found: Found = { rows: [], places: [], shape: undefined, unknown: false }
  for (const file of files) await readFile(file, found, problems)
  const { rows, places, shape } = found
  problems.throwIfAny(found.unknown ? `name the fields as one of the known shapes does: ${KNOWN}` : undefined)
  return { rows, places, shape: shape!.name }
}

interface Found {
  rows: Row[]
  places: string[]
  /** Of the first row that has one. */
  shape: Shape | undefined
  /** Rows were seen whose fields are no shape. */
  unknown: boolean
}

async function readFile(file: RowFile, found: Found, problems: RowProblems): Promise<void> {
  let any = false
  try {
    for await (const raw of rawRows(file)) {
      any = true
      const where = raw.place === '' ? file.path : `${file.path}: ${raw.place}`
      if ('problem' in raw) {
        problems.add(where, raw.problem)
        continue
      }
      const row = readOne(raw.value, where, found, problems)
      if (row === undefined) continue
      found.rows.push(row)
      found.places.push(where)
    }
  } catch (error) {
    any = true
    problems.add(file.path, `cannot be read: ${error instanceof DataError ? error.message : tableMessage(error)}`)
  }
  if (!any) problems.add(file.path, 'has no rows')
}

function readOne(value: unknown, where: string, found: Found, problems: RowProblems): Row | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    problems.add(where, 'is no object with fields')
    return undefined
  }
  const fields = value as Record<string, unknown>
  const shape = (found.shape ??= shapeOf(fields))
  if (shape === undefined) {
    found.unknown = true
    problems.add(where, `has the fields ${Object.keys(fields).join(', ') || '(none)'}, which are no shape of rows`)
    return undefined
  }
  const missing = shape.needs.filter((field) => fields[field] === undefined || fields[field] === null)
  for (const field of missing) problems.add(where, `${field}: is missing, which rows of the shape ${shape.name} need`)
  if (missing.length > 0) return undefined
  return shape.read(fields, (field, problem) => problems.add(where, `${field}: ${problem}`))
}

const KNOWN = SHAPES.map(({ name, needs }) => `${name} (${needs.join(', ')})`).join('; ')

/** A file of rows; `.json` is one list of all. */
type RowFile = Omit<SourceFile, 'kind'> & { kind: SourceFile['kind'] | 'json' }

async function findRowFiles(sources: string | readonly string[], problems: RowProblems): Promise<RowFile[]> {
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
type RawRow = { place: string } & ({ value: unknown } | { problem: string })

async function* rawRows(file: RowFile): AsyncGenerator<RawRow> {
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
