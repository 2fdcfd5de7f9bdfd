// Rows of fine-tuning data from .jsonl, .json, .csv and .parquet. All rows are read before any is used, and all that is
// wrong is said at once, with file, row and field. Rows are kept in memory: what people write by hand or by model fits.
import { stat } from 'node:fs/promises'
import { DataError } from '@hearth/torch'
import { fileBytes } from '../documents/bytes.js'
import { findSources, type SourceFile } from '../documents/sources.js'
import { tableMessage, tableRows } from '../documents/tables.js'
import { shapeOf, SHAPES, type Row, type Shape, type ShapeName } from './shapes.js'

export interface ReadRows {
  rows: Row[]
  shape: ShapeName
}

const MOST_LISTED = 20

/** Gathers what is wrong: the first problems in full, the rest as a count. */
class Problems {
  readonly #listed: string[] = []
  #count = 0

  add(where: string, problem: string): void {
    this.#count++
    if (this.#listed.length < MOST_LISTED) this.#listed.push(`  ${where}: ${problem}`)
  }

  throwIfAny(): void {
    if (this.#count === 0) return
    const more = this.#count > MOST_LISTED ? [`  and ${this.#count - MOST_LISTED} more`] : []
    const head = `${this.#count} problem${this.#count === 1 ? '' : 's'} with the rows:`
    throw new DataError([head, ...this.#listed, ...more].join('\n'))
  }
}

/**
 * Reads and checks rows. All must have one shape: that of the first.
 * @param sources files, folders and globs
 * @throws DataError naming every file, row and field that is wrong
 * @example
 * const { rows, shape } = await readRows('questions.jsonl')
 */
export async function readRows(sources: string | readonly string[]): Promise<ReadRows> {
  const problems = new Problems()
  const rows: Row[] = []
  let shape: Shape | undefined
  for (const file of await findRowFiles(sources)) {
    let number = 0
    try {
      for await (const value of rawRows(file)) {
        const where = `${file.path}: row ${++number}`
        if (typeof value !== 'object' || value === null || Array.isArray(value)) {
          problems.add(where, 'is no object with fields')
          continue
        }
        shape ??= shapeOf(value as Record<string, unknown>) ?? unknownShape(where, value)
        const row = readOne(value as Record<string, unknown>, shape, where, problems)
        if (row !== undefined) rows.push(row)
      }
    } catch (error) {
      if (error instanceof DataError) throw error
      problems.add(file.path, `cannot be read: ${tableMessage(error)}`)
    }
    if (number === 0) problems.add(file.path, 'has no rows')
  }
  problems.throwIfAny()
  return { rows, shape: shape!.name }
}

function readOne(value: Record<string, unknown>, shape: Shape, where: string, problems: Problems): Row | undefined {
  const missing = shape.needs.filter((field) => value[field] === undefined || value[field] === null)
  for (const field of missing)
    problems.add(`${where}: ${field}`, `is missing, which rows of the shape ${shape.name} need`)
  if (missing.length > 0) return undefined
  return shape.read(value, (field, problem) => problems.add(`${where}: ${field}`, problem))
}

function unknownShape(where: string, row: object): never {
  const known = SHAPES.map(({ name, needs }) => `${name} (${needs.join(', ')})`).join('; ')
  throw new DataError(
    `${where}: has the fields ${Object.keys(row).join(', ') || '(none)'}, which are no shape of rows`,
    {
      remedy: `name the fields as one of the known shapes does: ${known}`,
    },
  )
}

/** A file of rows; `.json` is one list of all. */
type RowFile = Omit<SourceFile, 'kind'> & { kind: SourceFile['kind'] | 'json' }

async function findRowFiles(sources: string | readonly string[]): Promise<RowFile[]> {
  const files: RowFile[] = []
  const others: string[] = []
  for (const source of typeof sources === 'string' ? [sources] : sources) {
    const info = /\.json$/i.test(source) ? await stat(source).catch(() => undefined) : undefined
    if (info?.isFile())
      files.push({ path: source, kind: 'json', compression: 'none', bytes: info.size, modified: info.mtimeMs })
    else others.push(source)
  }
  if (others.length > 0 || files.length === 0) files.push(...(await findSources(others)))
  const plain = files.filter(({ kind }) => kind === 'text')
  if (plain.length > 0)
    throw new DataError(
      plain.map(({ path }) => `${path}: is plain text; expected rows: .jsonl, .json, .csv or .parquet`).join('\n'),
      { remedy: 'hearth train learns from plain text; or write one {"text": ...} a line into a .jsonl file' },
    )
  return files
}

async function* rawRows(file: RowFile): AsyncGenerator {
  if (file.kind === 'json') yield* jsonRows(file)
  else if (file.kind === 'jsonl') yield* lineRows(file as SourceFile)
  else for await (const text of tableRows(file as SourceFile)) yield JSON.parse(text) as unknown
}

async function* jsonRows(file: RowFile): AsyncGenerator {
  const parts: Uint8Array[] = []
  for await (const bytes of fileBytes(file as SourceFile)) parts.push(bytes)
  const list: unknown = parseJson(decode(Buffer.concat(parts), file.path), file.path)
  if (!Array.isArray(list)) throw new DataError(`${file.path}: holds ${typeof list}, expected a list of rows`)
  yield* list as unknown[]
}

async function* lineRows(file: SourceFile): AsyncGenerator {
  let rest: Buffer = Buffer.alloc(0)
  let line = 0
  const parse = (bytes: Uint8Array) => {
    line++
    const text = decode(bytes, `${file.path}: line ${line}`)
    return /\S/.test(text) ? { value: parseJson(text, `${file.path}: line ${line}`) } : undefined
  }
  for await (const bytes of fileBytes(file)) {
    rest = rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([rest, bytes])
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const row = parse(rest.subarray(0, end))
      if (row) yield row.value
      rest = rest.subarray(end + 1)
    }
  }
  const row = rest.length > 0 ? parse(rest) : undefined
  if (row) yield row.value
}

function decode(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new DataError(`${where}: is not UTF-8 text`, { cause, remedy: 'convert the file: iconv -t UTF-8' })
  }
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw new DataError(`${where}: is not JSON: ${(cause as Error).message}`, { cause })
  }
}
