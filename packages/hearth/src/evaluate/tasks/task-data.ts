// The rows of a task: files beside it, a folder, or a data set on the hub, in the layouts that the hub's own library knows.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { DataError, HearthError } from '@hearth/torch'
import { parse } from 'yaml'
import { readRawRows } from '../../data/index.js'
import { fetchDataset, parseHubName, type HubName, type HubOptions } from '../../formats/index.js'
import type { Row } from './questions.js'
import type { TaskDefinition } from './task-definition.js'

const READABLE = /\.(parquet|jsonl?|csv)$|\.(jsonl|csv)\.(gz|zst)$/i
/** Data sets that are programs have their rows here too, made by the hub. */
const CONVERTED = 'refs/convert/parquet'

/**
 * Rows of a split.
 * @throws DataError when there are none; what the hub throws when it cannot be had there
 */
export async function readSplit(task: TaskDefinition, split: string, hub: HubOptions = {}): Promise<Row[]> {
  const files = await filesOf(task, split, hub)
  const rows = await readRawRows(files)
  if (rows.length > 0) return rows
  throw new DataError(`${task.task}: ${files.join(', ')} has no rows`)
}

async function filesOf(task: TaskDefinition, split: string, hub: HubOptions): Promise<string[]> {
  const { dataset_path: path, dataset_name: name, dataset_kwargs: kwargs, file } = task
  const near = (each: string) => resolve(dirname(file), each)
  if (kwargs?.data_files !== undefined) return givenFiles(kwargs.data_files, split, task).map(near)
  for (const folder of [near(path), resolve(path)])
    if (existsSync(folder) && statSync(folder).isDirectory()) return inFolder(folder, name ?? undefined, split, task)
  const hubName = parseHubName(path, 'dataset')
  if (hubName !== undefined) return await fromHub(hubName, name ?? undefined, split, task, hub)
  throw new DataError(
    `${task.task}: dataset_path is ${JSON.stringify(path)}: no folder beside ${file}, and no data set`,
    {
      remedy: 'give a folder with a file for each split (test.jsonl), or owner/name of a data set on the hub',
    },
  )
}

function givenFiles(files: unknown, split: string, task: TaskDefinition): string[] {
  const isMap = typeof files === 'object' && files !== null && !Array.isArray(files)
  const own = [isMap ? ((files as Record<string, unknown>)[split] ?? []) : files].flat()
  if (own.length > 0 && own.every((each) => typeof each === 'string')) return own
  throw new DataError(`${task.file}: dataset_kwargs.data_files has no files for the split ${split}`)
}

function inFolder(folder: string, name: string | undefined, split: string, task: TaskDefinition): string[] {
  const all = filesIn(folder)
  const found = splitFiles(all, cardIn(folder), name, split)
  if (found.length > 0) return found.map((path) => join(folder, path))
  throw missing(`${task.task}: ${folder}`, all, name, split)
}

async function fromHub(
  repo: HubName,
  name: string | undefined,
  split: string,
  task: TaskDefinition,
  hub: HubOptions,
): Promise<string[]> {
  const seen: string[] = []
  for (const revision of repo.revision === 'main' ? ['main', CONVERTED] : [repo.revision]) {
    const at = { ...repo, revision }
    let all: string[] = []
    const first = await fetchDataset(at, (path) => all.push(path) > 0 && path === 'README.md', hub).catch(
      (cause: unknown) => {
        // Most data sets have no such branch; that is no more to be said than that the rows are missing.
        if (revision !== CONVERTED || !(cause instanceof HearthError)) throw cause
        throw missing(`${task.task}: ${repo.repo}`, seen, name, split, cause)
      },
    )
    // Off the network nothing is listed: what the cache has is all there is.
    const isListed = all.length > 0
    if (!isListed) all = filesIn(first)
    seen.push(...all)
    const wanted = splitFiles(all, cardIn(first), name, split)
    if (wanted.length === 0) continue
    const folder = isListed ? await fetchDataset(at, (path) => wanted.includes(path), hub) : first
    return wanted.map((path) => join(folder, path))
  }
  throw missing(`${task.task}: ${repo.repo}`, seen, name, split)
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((path) => path.replaceAll('\\', '/'))
}

function cardIn(folder: string): string {
  const card = join(folder, 'README.md')
  return existsSync(card) ? readFileSync(card, 'utf8') : ''
}

function missing(
  what: string,
  files: readonly string[],
  name: string | undefined,
  split: string,
  cause?: unknown,
): DataError {
  const data = files.filter((path) => READABLE.test(path))
  return new DataError(
    `${what} has no files for the split ${split}${name === undefined ? '' : ` of ${name}`}; it has ${data.slice(0, 8).join(', ') || 'no files of rows'}`,
    {
      cause,
      remedy: `a file of a split is named for it, as ${split}.jsonl or ${name ?? 'data'}/${split}-00000-of-00001.parquet`,
    },
  )
}

/**
 * The files of a split: those that the card names for it, else those named for it, in the folder of the configuration.
 * @param card the README.md, whose head may say which files are which split
 */
export function splitFiles(all: readonly string[], card: string, name: string | undefined, split: string): string[] {
  const files = all.filter((path) => READABLE.test(path)).sort()
  const said = namedByCard(card, name, split)
  if (said.length > 0) return files.filter((path) => said.some((pattern) => pattern.test(path)))
  const isSplit = (path: string) => new RegExp(`(^|[/._-])${escape(split)}([._/-]|$)`, 'i').test(path)
  const within = (folder: string) =>
    files.filter((path) => path.startsWith(`${folder}/`) && isSplit(relative(folder, path)))
  if (name !== undefined && name !== 'default') return within(name)
  const own = [within('default'), within('data'), files.filter((path) => !path.includes('/') && isSplit(path))]
  return own.find((some) => some.length > 0) ?? []
}

interface CardConfig {
  config_name?: string
  data_files?: string | (string | { split?: string; path?: string | string[] })[]
}

function namedByCard(card: string, name: string | undefined, split: string): RegExp[] {
  const [, head = ''] = /^---\r?\n([^]*?)\r?\n---/.exec(card) ?? []
  let configs: CardConfig[] = []
  try {
    const fields = parse(head) as { configs?: CardConfig[] } | null
    configs = Array.isArray(fields?.configs) ? fields.configs : []
  } catch {
    // A card that is no YAML says nothing; the names of the files do.
  }
  const config =
    configs.find(({ config_name: own = 'default' }) => own === (name ?? 'default')) ??
    (name === undefined ? configs[0] : undefined)
  const entries = Array.isArray(config?.data_files) ? config.data_files : []
  return entries
    .filter((entry) => typeof entry === 'object' && entry.split === split)
    .flatMap((entry) => (entry as { path?: string | string[] }).path ?? [])
    .map(
      (pattern) =>
        new RegExp(
          `^${pattern
            .split('**')
            .map((part) => part.split('*').map(escape).join('[^/]*'))
            .join('.*')}$`,
        ),
    )
}

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
