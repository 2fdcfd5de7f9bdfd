// One file from a hub into the cache: what came before a cut is kept and the rest is asked for, and nothing gets its name before
// its checksum is right. Not here: which files, and where they are (hub.ts, cache.ts).
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream, existsSync, renameSync, rmSync, statSync } from 'node:fs'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { FormatError, HearthError } from '@hearth/torch'

export interface HubFile {
  path: string
  bytes: number
  /** SHA-256 of large files, as git LFS has it; of others the SHA-1 that git names contents by. */
  checksum: string
}

export interface Download {
  url: string
  headers: Record<string, string>
  /** Seconds without a byte until an attempt is given up. */
  idleSeconds: number
  signal?: AbortSignal | undefined
  /** Told of bytes as they come; negative for those that had to be thrown away. */
  onBytes: (bytes: number) => void
}

/** Attempts in a row that brought nothing. */
const MAX_FRUITLESS = 4

/**
 * @param blob where the contents belong
 * @throws HearthError when the hub cannot be reached or says no; FormatError when the contents are not those promised
 */
export async function download(file: HubFile, blob: string, options: Download): Promise<void> {
  const partial = partialOf(blob)
  let have = sizeOf(partial)
  options.onBytes(have)
  for (let fruitless = 0, damaged = 0; ;) {
    let problem: unknown
    if (have < file.bytes) {
      problem = await append(file, partial, have, options).catch((error: unknown) => error ?? new Error('cut'))
      options.signal?.throwIfAborted()
      if (problem instanceof HearthError) throw problem
    }
    const now = sizeOf(partial)
    fruitless = now > have ? 0 : fruitless + 1
    have = now
    if (have >= file.bytes) {
      if (have === file.bytes && (await checksumOf(partial, file)) === file.checksum) break
      rmSync(partial, { force: true })
      options.onBytes(-have)
      have = 0
      if (++damaged === 2) throw damagedError(file, options.url)
    } else if (fruitless >= MAX_FRUITLESS) throw unreachable(options.url, problem)
    else
      await wait(250 * Math.min(1, options.idleSeconds) * 2 ** fruitless, undefined, {
        ...(options.signal && { signal: options.signal }),
      })
  }
  renameSync(partial, blob)
}

const partialOf = (blob: string): string => `${blob}.incomplete`

/** Bytes of contents that an earlier attempt left. */
export const haveOf = (blob: string): number => sizeOf(partialOf(blob))

const sizeOf = (path: string): number => (existsSync(path) ? statSync(path).size : 0)

/** One attempt. @throws HearthError for an answer that a further attempt would not change; Error for a cut */
async function append(file: HubFile, partial: string, have: number, options: Download): Promise<void> {
  const idle = new AbortController()
  const timer = setTimeout(
    () => idle.abort(new Error(`no byte for ${options.idleSeconds} s`)),
    options.idleSeconds * 1000,
  )
  const signal = options.signal ? AbortSignal.any([options.signal, idle.signal]) : idle.signal
  try {
    const headers = have > 0 ? { ...options.headers, range: `bytes=${have}-` } : options.headers
    const answer = await fetch(options.url, { headers, signal })
    if (!answer.ok && answer.status !== 416) throw refusal(options.url, answer.status)
    const goesOn = answer.status === 206 && answer.headers.get('content-range')?.startsWith(`bytes ${have}-`) === true
    if (answer.status === 416 || answer.body === null) throw new Error(`answered ${answer.status} without contents`)
    // A server that knows no ranges begins anew.
    if (!goesOn) options.onBytes(-have)
    let room = file.bytes - (goesOn ? have : 0)
    const counted = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        timer.refresh()
        options.onBytes(chunk.length)
        room -= chunk.length
        if (room < 0) done(tooLong(file, options.url))
        else done(null, chunk)
      },
    })
    const body = Readable.fromWeb(answer.body)
    await pipeline(body, counted, createWriteStream(partial, { flags: goesOn ? 'a' : 'w' }), { signal })
  } finally {
    clearTimeout(timer)
  }
}

async function checksumOf(path: string, { checksum, bytes }: HubFile): Promise<string> {
  const isGit = checksum.length === 40
  const hash = createHash(isGit ? 'sha1' : 'sha256')
  if (isGit) hash.update(`blob ${bytes}\0`)
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

/** What a status means to the person who named the model. */
export function refusal(url: string, status: number): HearthError {
  const remedies: Record<number, string> = {
    401: 'it is private, gated or not there: check the name, and set HF_TOKEN to a token that may read it',
    403: 'accept its licence on its page, and set HF_TOKEN to a token of that account',
    404: 'check the name and the revision',
    429: 'the hub asks for patience: try again in some minutes',
  }
  return new HearthError(`${url}: the hub answers ${status}`, { remedy: remedies[status] ?? 'try again later' })
}

/** Whether the hub was not there, rather than said no. */
export const isUnreachable = (error: unknown): boolean => error instanceof HearthError && error.cause !== undefined

export const unreachable = (url: string, cause: unknown): HearthError =>
  new HearthError(`${url}: cannot be read (${reasonOf(cause)})`, {
    remedy:
      'check the network, and HF_ENDPOINT if it is set; what came so far is kept. HF_HUB_OFFLINE=1 uses the cache alone',
    cause,
  })

// What fetch() says is "fetch failed"; the reason is below.
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'the connection was cut'
  return cause.cause instanceof Error ? cause.cause.message : cause.message
}

const damagedError = ({ path }: HubFile, url: string): FormatError =>
  new FormatError(`${url}: what arrives for ${path} does not have its checksum, twice over`, {
    remedy: 'something between here and the hub changes it: try another network, or fetch the file yourself',
  })

const tooLong = ({ path, bytes }: HubFile, url: string): FormatError =>
  new FormatError(`${url}: more arrives for ${path} than the ${bytes} bytes that were promised`, {
    remedy: 'something between here and the hub changes it: try another network, or fetch the file yourself',
  })
