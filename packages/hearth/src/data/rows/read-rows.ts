// Rows of fine-tuning data from .jsonl, .json, .csv and .parquet. All rows are read before any is used, and all that is
// wrong is said at once, with file, row and field. Rows are kept in memory: what people write by hand or by model fits.
import { DataError } from '@hearth/torch'
import { tableMessage } from '../documents/tables.js'
import { findRowFiles, rawRows, type RowFile } from './raw-rows.js'
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
