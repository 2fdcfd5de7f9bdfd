// Models and data sets by name from a hub that speaks Hugging Face's API, into the cache. The client library asks what there
// is; files come by download.ts, since they are large enough to be cut. Offline, what the cache has is used.
import { statfsSync, existsSync, mkdirSync } from 'node:fs'
import { datasetInfo, HubApiError, listFiles, modelInfo } from '@huggingface/hub'
import { FormatError, HearthError } from '@hearth/torch'
import { HubCache } from './cache.js'
import { download, haveOf, isUnreachable, refusal, unreachable, type HubFile } from './download.js'
import type { HubName } from './name.js'

export interface HubOptions {
  /** @default HF_ENDPOINT, or https://huggingface.co */
  endpoint?: string
  /** @default HF_TOKEN */
  token?: string
  /** @default HF_HUB_CACHE, HF_HOME/hub, or ~/.cache/huggingface/hub */
  cache?: string
  /** Use the cache alone. @default whether HF_HUB_OFFLINE is set */
  offline?: boolean
  /** @default 60 */
  idleSeconds?: number
  /** Told of bytes that are there and those wanted. */
  onProgress?: (have: number, of: number) => void
  signal?: AbortSignal
}

export function fetchModel(name: HubName, options: HubOptions = {}): Promise<string> {
  return fetchFiles(name, (files) => filesOfModel(name, files), options)
}

export function fetchDataset(
  name: HubName,
  wanted: (path: string) => boolean,
  options: HubOptions = {},
): Promise<string> {
  const choose = (files: HubFile[]) => files.filter(({ path }) => wanted(path))
  return fetchFiles({ ...name, kind: 'dataset' }, choose, options)
}

const BESIDE_WEIGHTS =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|adapter_config)\.json$|^(merges\.txt|chat_template\.jinja|tokenizer\.model)$/
/** The best first. */
const WEIGHTS = [
  /^model(-\d+-of-\d+)?\.safetensors(\.index\.json)?$/,
  /^adapter_model\.safetensors$/,
  /^pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?$/,
]

function filesOfModel({ repo }: HubName, files: HubFile[]): HubFile[] {
  const weights = WEIGHTS.map((form) => files.filter(({ path }) => form.test(path))).find((some) => some.length > 0)
  if (weights === undefined)
    throw new FormatError(`${repo} has no weights that are known here`, {
      remedy: 'it needs model.safetensors or pytorch_model.bin, whole or in parts; a GGUF file can be fetched by hand',
    })
  // Some repositories hold the same weights whole and in parts.
  const whole = weights.filter(({ path }) => !/-of-|\.index\.json$/.test(path))
  return [...files.filter(({ path }) => BESIDE_WEIGHTS.test(path)), ...(whole.length > 0 ? whole : weights)]
}

async function fetchFiles(
  name: HubName,
  choose: (files: HubFile[]) => HubFile[],
  options: HubOptions,
): Promise<string> {
  const cache = new HubCache(name, options.cache)
  if (options.offline ?? isSet(process.env.HF_HUB_OFFLINE)) return offline(name, cache)
  const hub = connectionTo(options)
  const commit = await commitOf(name, hub).catch((error: unknown) => {
    if (isUnreachable(error) && cache.commitOf(name.revision) !== undefined) return undefined
    throw error
  })
  // What was fetched before serves a machine that is off the network today.
  if (commit === undefined) return offline(name, cache)
  const files = choose(await filesAt(name, commit, hub))
  const missing = files.filter(({ checksum }) => !existsSync(cache.blob(checksum)))
  checkRoom(missing, cache)
  const of = files.reduce((sum, { bytes }) => sum + bytes, 0)
  let have = of - missing.reduce((sum, { bytes }) => sum + bytes, 0)
  const onBytes = (bytes: number) => options.onProgress?.((have += bytes), of)
  const { idleSeconds = 60, signal } = options
  for (const file of missing) {
    const url = `${hub.hubUrl}/${PREFIX[name.kind]}${name.repo}/resolve/${commit}/${encodePath(file.path)}`
    await download(file, cache.blob(file.checksum), { url, headers: hub.headers, idleSeconds, signal, onBytes })
  }
  for (const { path, checksum } of files) cache.link(commit, path, checksum)
  cache.remember(name.revision, commit)
  mkdirSync(cache.snapshot(commit), { recursive: true })
  return cache.snapshot(commit)
}

const PREFIX = { model: '', dataset: 'datasets/' }
const encodePath = (path: string) => path.split('/').map(encodeURIComponent).join('/')
const isSet = (value: string | undefined) => value !== undefined && /^(1|on|yes|true)$/i.test(value)

function offline({ repo, revision }: HubName, cache: HubCache): string {
  const commit = cache.commitOf(revision)
  if (commit !== undefined && existsSync(cache.snapshot(commit))) return cache.snapshot(commit)
  throw new HearthError(`${repo} at ${revision} is not in the cache, and HF_HUB_OFFLINE forbids asking for it`, {
    remedy: 'unset HF_HUB_OFFLINE, or copy the cache from a machine that has it',
  })
}

interface Connection {
  hubUrl: string
  headers: Record<string, string>
  accessToken?: string
}

function connectionTo({ endpoint, token }: HubOptions): Connection {
  const hubUrl = (endpoint ?? process.env.HF_ENDPOINT ?? 'https://huggingface.co').replace(/\/+$/, '')
  const accessToken = token ?? process.env.HF_TOKEN
  if (accessToken === undefined || accessToken === '') return { hubUrl, headers: {} }
  return { hubUrl, accessToken, headers: { authorization: `Bearer ${accessToken}` } }
}

/** Of a revision, so that all files are of one moment. */
async function commitOf({ kind, repo, revision }: HubName, { hubUrl, accessToken }: Connection): Promise<string> {
  const asked = {
    name: repo,
    revision,
    hubUrl,
    additionalFields: ['sha' as const],
    ...(accessToken && { accessToken }),
  }
  const { sha } = await told(hubUrl, repo, kind === 'model' ? modelInfo(asked) : datasetInfo(asked))
  if (!/^[0-9a-f]{40}$/.test(sha))
    throw new FormatError(`${hubUrl}: says ${JSON.stringify(sha)} is the commit of ${repo}`)
  return sha
}

async function filesAt(
  { kind, repo }: HubName,
  commit: string,
  { hubUrl, accessToken }: Connection,
): Promise<HubFile[]> {
  const asked = { repo: { type: kind, name: repo }, revision: commit, recursive: kind === 'dataset', hubUrl }
  const entries = listFiles({ ...asked, ...(accessToken && { accessToken }) })
  const files: HubFile[] = []
  const collect = async () => {
    for await (const { type, path, size, oid, lfs } of entries)
      if (type === 'file') files.push({ path, bytes: lfs?.size ?? size, checksum: lfs?.oid ?? oid ?? '' })
  }
  await told(hubUrl, repo, collect())
  for (const { path, bytes, checksum } of files)
    if (
      !isSafePath(path) ||
      !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(checksum) ||
      !Number.isSafeInteger(bytes) ||
      bytes < 0
    )
      throw new FormatError(
        `${hubUrl}: ${repo} lists a file that cannot be: ${JSON.stringify({ path, bytes, checksum })}`,
      )
  return files
}

// They become paths below the cache.
const isSafePath = (path: string) =>
  !/[\0\\:]/.test(path) && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')

async function told<T>(hubUrl: string, repo: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (error instanceof HubApiError) throw refusal(`${hubUrl}/${repo}`, error.statusCode)
    throw error instanceof HearthError ? error : unreachable(`${hubUrl}/${repo}`, error)
  }
}

function checkRoom(missing: HubFile[], cache: HubCache): void {
  const wanted = missing.reduce((sum, { bytes, checksum }) => sum + bytes - haveOf(cache.blob(checksum)), 0)
  const folder = cache.blob('.')
  const { bavail, bsize } = statfsSync(folder)
  if (wanted > bavail * bsize)
    throw new HearthError(`${folder}: ${wanted} bytes are to come, and ${bavail * bsize} are free`, {
      remedy: 'free some, or set HF_HOME to a folder on a larger disk',
    })
}
