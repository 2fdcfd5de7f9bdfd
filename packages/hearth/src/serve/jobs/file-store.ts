// Files that clients upload, in a folder: one folder a file, its contents under a name of ours and what is known of it
// beside. A client's words never become a path.
import { randomBytes } from 'node:crypto'
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { extname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { replaceFile } from '@hearth/torch'
import { ApiError, badRequest } from '../api-error.js'

/** A file, as OpenAI's answers have it. */
export interface StoredFile {
  id: string
  object: 'file'
  bytes: number
  created_at: number
  filename: string
  purpose: string
  status: 'processed'
}

const KINDS = ['.jsonl', '.json', '.csv', '.parquet']
const ID = /^file-[0-9a-f]{24}$/

export class FileStore {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  /** @throws ApiError for a kind of file that holds no rows */
  async save(source: Readable & { truncated?: boolean }, filename: string, purpose: string): Promise<StoredFile> {
    const kind = extname(filename).toLowerCase()
    if (!KINDS.includes(kind)) throw badRequest(`rows come in ${KINDS.join(', ')}; got ${kind || 'no ending'}`, 'file')
    const id = `file-${randomBytes(12).toString('hex')}`
    const staging = join(this.#folder, `.${id}.tmp`)
    mkdirSync(staging, { recursive: true })
    try {
      const path = join(staging, `data${kind}`)
      await pipeline(source, createWriteStream(path))
      if (source.truncated === true)
        throw new ApiError(413, 'the file is larger than this server takes', { param: 'file' })
      const file: StoredFile = {
        id,
        object: 'file',
        bytes: statSync(path).size,
        created_at: Math.floor(Date.now() / 1000),
        // The end says what kind it is.
        filename: filename.slice(-255),
        purpose,
        status: 'processed',
      }
      replaceFile(join(staging, 'file.json'), (write) => write(Buffer.from(JSON.stringify(file))))
      renameSync(staging, join(this.#folder, id))
      return file
    } finally {
      rmSync(staging, { recursive: true, force: true })
    }
  }

  /** Newest first. */
  list(): StoredFile[] {
    if (!existsSync(this.#folder)) return []
    const files = readdirSync(this.#folder).filter((name) => ID.test(name))
    return files.map((id) => this.get(id)).sort((a, b) => b.created_at - a.created_at)
  }

  /** @throws ApiError 404 */
  get(id: string): StoredFile {
    return JSON.parse(readFileSync(join(this.#inside(id), 'file.json'), 'utf8')) as StoredFile
  }

  /** Where the contents are. @throws ApiError 404 */
  path(id: string): string {
    return join(this.#inside(id), `data${extname(this.get(id).filename).toLowerCase()}`)
  }

  /** @throws ApiError 404 */
  remove(id: string): void {
    rmSync(this.#inside(id), { recursive: true })
  }

  #inside(id: string): string {
    const folder = join(this.#folder, id)
    if (ID.test(id) && existsSync(join(folder, 'file.json'))) return folder
    throw new ApiError(404, `there is no file ${JSON.stringify(id.slice(0, 64))}`, { param: 'file' })
  }
}
