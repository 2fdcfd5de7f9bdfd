/**
 * Documents from text files and tables, one after the other, at constant memory.
 * Not here: finding files (sources.ts), tokens (../shards).
 */
import { DataError } from '@hearth/torch'
import { fileBytes } from './bytes.js'
import { checkSources } from './checks.js'
import { findSources } from './sources.js'
import type { SourceFile } from './sources.js'
import { columnTexts, tableMessage } from './tables.js'
import { splitDocuments } from './text-pieces.js'

/** A document, or a part of a very long one. */
export interface Document {
  text: string
  /** Path of its file. */
  source: string
  /** Number of the document in its file: its row, or its place between separators. */
  index: number
  /** 0 for a document's first part; a document of a text file of more than a megabyte goes on in parts 1, 2, ... */
  part: number
}

/** Options of `readDocuments`. */
export interface ReadOptions {
  /** Column that holds the text, in .jsonl, .csv and .parquet. Default `text`. */
  textColumn?: string
  signal?: AbortSignal
}

/**
 * Reads documents from files, folders and globs of .txt, .md, .jsonl, .csv and .parquet, also .gz and .zst.
 * A text file is one document, or several with `<|endoftext|>` between them; a table has one a row. Blank ones are left out.
 *
 * @throws DataError before the first document, naming all that is wrong with the files; later for a malformed row
 * @example
 * for await (const { text, source } of readDocuments(['books', 'web/*.jsonl.zst'])) console.log(source, text.length)
 */
export async function* readDocuments(
  sources: string | readonly string[],
  options: ReadOptions = {},
): AsyncGenerator<Document> {
  yield* readFiles(await checkDocuments(sources, options), options)
}

/**
 * Does what `readDocuments` does before its first document: finds the files and looks into them.
 *
 * @throws DataError naming all that is wrong with the files
 */
export async function checkDocuments(
  sources: string | readonly string[],
  { textColumn = 'text' }: ReadOptions = {},
): Promise<SourceFile[]> {
  const files = await findSources(sources)
  await checkSources(files, textColumn)
  return files
}

/** Reads documents from files that were found and checked. */
export async function* readFiles(files: readonly SourceFile[], options: ReadOptions = {}): AsyncGenerator<Document> {
  for (const file of files) {
    try {
      for await (const piece of file.kind === 'text' ? textDocuments(file) : tableDocuments(file, options)) {
        options.signal?.throwIfAborted()
        yield { ...piece, source: file.path }
      }
    } catch (error) {
      if (options.signal?.aborted === true || error instanceof DataError) throw error
      throw new DataError(`${file.path}: cannot be read: ${tableMessage(error)}`, { cause: error })
    }
  }
}

type Piece = Omit<Document, 'source'>

function textDocuments(file: SourceFile): AsyncGenerator<Piece> {
  return splitDocuments(decoded(file))
}

async function* decoded(file: SourceFile): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let offset = 0
  try {
    for await (const bytes of fileBytes(file)) {
      yield decoder.decode(bytes, { stream: true })
      offset += bytes.length
    }
    yield decoder.decode()
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause
    throw new DataError(
      `${file.path}: is not UTF-8 text: an invalid byte follows within a megabyte of offset ${offset}`,
      {
        cause,
        remedy: 'convert the file to UTF-8, or leave it out',
      },
    )
  }
}

async function* tableDocuments(file: SourceFile, { textColumn = 'text' }: ReadOptions): AsyncGenerator<Piece> {
  let index = 0
  for await (const text of columnTexts(file, textColumn)) {
    if (text !== null && /\S/.test(text)) yield { text, index, part: 0 }
    index++
  }
}
