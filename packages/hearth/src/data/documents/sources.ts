/**
 * Finds the files behind what a user gives as data: files, folders, globs. Everything that is wrong with the whole list
 * is reported at once. Not here: looking into the files (checks.ts), reading them (read.ts).
 */
import { readdir, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DataError } from '@hearth/torch'
import { globFiles } from './tables.js'

/** How the text lies in a file. */
export type SourceKind = 'text' | 'jsonl' | 'csv' | 'parquet'

/** A file to read. */
export interface SourceFile {
  /** As found: relative when the user gave a relative path. */
  path: string
  kind: SourceKind
  compression: 'none' | 'gzip' | 'zstd'
  /** Size on disk. */
  bytes: number
  /** Time of the last change, in milliseconds. */
  modified: number
}

/** One thing wrong with the data. */
export interface SourceProblem {
  path: string
  problem: string
}

const kinds: Readonly<Record<string, SourceKind>> = {
  txt: 'text',
  md: 'text',
  jsonl: 'jsonl',
  csv: 'csv',
  parquet: 'parquet',
}
const namePattern = /\.(?:(txt|md|jsonl|csv)(?:\.(gz|zst))?|(parquet))$/i

/** The kinds of files that are read, for messages. */
export const readableKinds = '.txt, .md, .jsonl, .csv (each also with .gz or .zst) and .parquet'

const MOST_LISTED = 20

/**
 * Lists the files behind sources, in the order of the sources and by name within each; a file that two sources name
 * comes once. Folders are searched through and through, without hidden files and files of other kinds.
 *
 * @param sources files, folders and globs (`*`, `**`, `?`, `[…]`)
 * @throws DataError naming every source that is missing, empty or of a kind that cannot be read
 */
export async function findSources(sources: string | readonly string[]): Promise<SourceFile[]> {
  const { files, problems } = await lookForSources(typeof sources === 'string' ? [sources] : sources)
  throwProblems(problems)
  return files
}

/** The same with what is wrong beside what is there, for those who have more to say. */
export async function lookForSources(
  list: readonly string[],
): Promise<{ files: SourceFile[]; problems: SourceProblem[] }> {
  if (list.length === 0) {
    throw new DataError('no data given', { remedy: 'name at least one file, folder or glob' })
  }
  const problems: SourceProblem[] = []
  const found = new Map<string, SourceFile>()
  for (const source of list) {
    for (const file of await findOne(source, problems)) {
      const real = await realpath(file.path)
      if (!found.has(real)) found.set(real, file)
    }
  }
  return { files: [...found.values()], problems }
}

/** @throws DataError with every problem, when there are any */
export function throwProblems(problems: readonly SourceProblem[]): void {
  if (problems.length === 0) return
  const lines = problems.slice(0, MOST_LISTED).map(({ path, problem }) => `  ${path}: ${problem}`)
  if (problems.length > MOST_LISTED) lines.push(`  and ${problems.length - MOST_LISTED} more`)
  const count = `${problems.length} problem${problems.length === 1 ? '' : 's'} with the data`
  throw new DataError([`${count}:`, ...lines].join('\n'))
}

async function findOne(source: string, problems: SourceProblem[]): Promise<SourceFile[]> {
  const problem = (text: string): SourceFile[] => {
    problems.push({ path: source === '' ? "''" : source, problem: text })
    return []
  }
  const info = source === '' ? undefined : await stat(source).catch(() => undefined)
  if (info === undefined) {
    if (!/[*?[]/.test(source)) return problem(`no such file or folder; relative paths start at ${process.cwd()}`)
    const shown = hiddenParts(source)
    const paths = (await globFiles(source)).filter((path) => hiddenParts(path) <= shown)
    if (paths.length === 0) return problem(`no file matches this glob; relative paths start at ${process.cwd()}`)
    return filesOf(paths, problem)
  }
  if (info.isDirectory()) {
    try {
      return await filesOf(await listFolder(source), problem)
    } catch (error) {
      return problem(`cannot be read: ${messageOf(error)}`)
    }
  }
  const file = await describe(source)
  if (file === undefined) return problem(`this kind of file is not read; read are ${readableKinds}`)
  if (!info.isFile()) return problem('is neither a file nor a folder')
  if (file.bytes === 0) return problem('is empty; leave it out or put text into it')
  return [file]
}

/** Folders and files of a path whose name begins with a dot: a glob finds only those it names itself. */
function hiddenParts(path: string): number {
  return path.split('/').filter((name) => /^\.[^.]/.test(name)).length
}

/** The readable and non-empty files among those of a folder or glob. */
async function filesOf(paths: string[], problem: (text: string) => SourceFile[]): Promise<SourceFile[]> {
  const files: SourceFile[] = []
  let empty = 0
  for (const path of paths) {
    const file = await describe(path)
    if (file === undefined) continue
    if (file.bytes === 0) empty++
    else files.push(file)
  }
  if (files.length > 0) return files
  if (empty > 0) return problem('has only empty files')
  return problem(paths.length === 0 ? 'is an empty folder' : `has no file of a kind that is read: ${readableKinds}`)
}

/** All files under a folder, sorted; symbolic links are followed, each folder is entered once. */
async function listFolder(folder: string, entered = new Set<string>()): Promise<string[]> {
  const real = await realpath(folder)
  if (entered.has(real)) return []
  entered.add(real)
  const names = (await readdir(folder)).filter((name) => !name.startsWith('.')).sort()
  const paths: string[] = []
  for (const name of names) {
    const path = join(folder, name)
    const info = await stat(path).catch(() => undefined) // a link to nowhere
    if (info?.isDirectory()) paths.push(...(await listFolder(path, entered)))
    else if (info?.isFile()) paths.push(path)
  }
  return paths
}

async function describe(path: string): Promise<SourceFile | undefined> {
  const match = namePattern.exec(path)
  if (match === null) return undefined
  const info = await stat(path)
  const suffix = match[2]?.toLowerCase()
  return {
    path,
    kind: kinds[(match[1] ?? match[3])!.toLowerCase()]!,
    compression: suffix === undefined ? 'none' : suffix === 'gz' ? 'gzip' : 'zstd',
    bytes: info.size,
    modified: info.mtimeMs,
  }
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
