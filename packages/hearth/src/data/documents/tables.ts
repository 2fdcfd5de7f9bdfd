/**
 * Tables of documents through DuckDB: .jsonl, .csv and .parquet, plain or compressed, streamed a chunk of rows at a time.
 * DuckDB never leaves this machine: it may not load extensions, and is given paths of files that exist.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { csvColumns } from './csv-header.js'
import type { SourceFile } from './sources.js'

/** A column of a table, with DuckDB's name of its type. */
export interface Column {
  name: string
  type: string
}

// One thread keeps the rows in the order of the file; the limit is far above what a stream of rows takes.
const settings = { threads: '1', memory_limit: '2GB', autoinstall_known_extensions: 'false' }

const LONGEST_LINE = 1 << 24 // bytes of a row of .csv; DuckDB's own limit for an object of .jsonl is the same

// Loaded where a table is read: it is large, and most commands read none.
async function connect(): Promise<DuckDBConnection> {
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const instance = await DuckDBInstance.create(':memory:', settings)
  return instance.connect()
}

/** Files that match a glob, sorted. */
export async function globFiles(pattern: string): Promise<string[]> {
  const connection = await connect()
  try {
    const result = await connection.runAndReadAll(`SELECT file FROM glob(${literal(pattern)}) ORDER BY file`)
    return result.getRows().map(([file]) => String(file))
  } finally {
    connection.closeSync()
  }
}

/** The columns of a table. */
export async function tableColumns(file: SourceFile): Promise<Column[]> {
  if (file.kind === 'csv') return (await csvColumns(file)).map((name) => ({ name, type: 'VARCHAR' }))
  const connection = await connect()
  try {
    const result = await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${relation(file, [])}`)
    return result.getRows().map(([name, type]) => ({ name: String(name), type: String(type) }))
  } finally {
    connection.closeSync()
  }
}

/**
 * The values of a text column, in the order of the file; null where a row has none.
 *
 * @throws Error of DuckDB, for a malformed row
 */
export async function* columnTexts(file: SourceFile, column: string): AsyncGenerator<string | null> {
  const connection = await connect()
  try {
    const columns = file.kind === 'csv' ? await csvColumns(file) : [column]
    const name = `"${column.replaceAll('"', '""')}"`
    const result = await connection.stream(`SELECT CAST(${name} AS VARCHAR) FROM ${relation(file, columns)}`)
    for (;;) {
      const chunk = await result.fetchChunk()
      if (chunk === null || chunk.rowCount === 0) return
      const texts = chunk.getColumnVector(0)
      for (let row = 0; row < chunk.rowCount; row++) yield texts.getItem(row) as string | null
    }
  } finally {
    connection.closeSync()
  }
}

/**
 * The rows of a table, each as JSON of all its columns, in the order of the file.
 *
 * @throws Error of DuckDB, for a malformed row
 */
export async function* tableRows(file: SourceFile): AsyncGenerator<string> {
  const connection = await connect()
  try {
    const columns = file.kind === 'csv' ? await csvColumns(file) : []
    const result = await connection.stream(`SELECT CAST(to_json(t) AS VARCHAR) FROM ${relation(file, columns)} t`)
    for (;;) {
      const chunk = await result.fetchChunk()
      if (chunk === null || chunk.rowCount === 0) return
      const texts = chunk.getColumnVector(0)
      for (let row = 0; row < chunk.rowCount; row++) yield texts.getItem(row) as string
    }
  } finally {
    connection.closeSync()
  }
}

/** The table function that reads a file: columns as text; without columns, .jsonl has those that DuckDB finds. */
function relation(file: SourceFile, columns: readonly string[]): string {
  const path = literal(file.path.replace(/[*?[]/g, '[$&]')) // DuckDB takes a path for a glob
  const types = `columns = {${columns.map((name) => `${literal(name)}: 'VARCHAR'`).join(', ')}}`
  switch (file.kind) {
    case 'jsonl': {
      const form = "format = 'newline_delimited', records = true"
      return `read_json(${path}, ${form}, ${columns.length === 0 ? 'sample_size = 1000' : types})`
    }
    case 'csv': {
      // RFC 4180, nothing guessed: prose has commas, quotes, line ends and number signs in every place.
      const form = `delim = ',', quote = '"', escape = '"', header = true, auto_detect = false`
      return `read_csv(${path}, ${form}, max_line_size = ${LONGEST_LINE}, buffer_size = ${2 * LONGEST_LINE}, ${types})`
    }
    default:
      return `read_parquet(${path})`
  }
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/** What DuckDB says is wrong, without its picture of our SQL, its options and its stack. */
export function tableMessage(error: unknown): string {
  const message = (error instanceof Error ? error.message : String(error)).replace(/^(?:[A-Z][A-Za-z]* )+Error: /, '')
  const csv = /CSV Error on Line: (\d+)[^]*\n([^\n]+)\n+Possible/.exec(message)
  if (csv !== null) return `line ${csv[1]}: ${csv[2]}`
  const [first] = message.split('\n', 1)
  // DuckDB 1.5.6 counts the lines of JSON from 2.
  return first!.trim().replace(/in line (\d+)/, (_, line) => `in line ${Number(line) - 1}`)
}
