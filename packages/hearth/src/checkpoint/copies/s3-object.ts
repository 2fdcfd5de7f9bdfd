// One object of S3, read from its beginning to its end over a single answer. Where the connection is cut on the way, the
// rest is asked for from there, of the same version of the object.
import { GetObjectCommand } from '@aws-sdk/client-s3'
import type { GetObjectCommandOutput, S3Client } from '@aws-sdk/client-s3'
import type { ReadableFile } from '../storage.js'

export interface ObjectPlace {
  readonly Bucket: string
  readonly Key: string
}

/** Times that the rest of an object is asked for without a byte coming. */
const MAX_RETRIES = 3

/** @throws the client's own errors */
export async function openObject(client: S3Client, place: ObjectPlace): Promise<ReadableFile> {
  const answer = await client.send(new GetObjectCommand(place))
  return new ObjectFile(client, place, answer)
}

class ObjectFile implements ReadableFile {
  readonly size: number
  readonly #client: S3Client
  readonly #place: ObjectPlace
  readonly #version: string | undefined
  #body: AsyncIterator<Uint8Array>
  /** Of the next byte that the body gives, without those left over. */
  #position = 0
  #left: Uint8Array = new Uint8Array(0)
  #reading: Promise<unknown> = Promise.resolve()

  constructor(client: S3Client, place: ObjectPlace, answer: GetObjectCommandOutput) {
    this.#client = client
    this.#place = place
    this.#version = answer.ETag
    this.size = answer.ContentLength ?? 0
    this.#body = bodyOf(answer)
  }

  /** Reads are served one after another, as they come. */
  read(into: Uint8Array, position: number): Promise<number> {
    const read = this.#reading.then(() => this.#read(into, position))
    this.#reading = read.catch(() => undefined)
    return read
  }

  async close(): Promise<void> {
    await this.#reading
    await this.#body.return?.()
  }

  async #read(into: Uint8Array, position: number): Promise<number> {
    if (position >= this.size || into.length === 0) return 0
    if (position !== this.#position - this.#left.length) await this.#seek(position)
    for (let retries = 0; this.#left.length === 0;) {
      try {
        const next = await this.#body.next()
        if (next.done) throw Object.assign(new Error('the answer ended early'), { code: 'ECONNRESET' })
        this.#left = next.value
        this.#position += this.#left.length
      } catch (error) {
        if (/^checksum mismatch/i.test((error as Error).message) || ++retries > MAX_RETRIES) throw error
        await this.#seek(position)
      }
    }
    const got = this.#left.subarray(0, into.length)
    into.set(got)
    this.#left = this.#left.subarray(got.length)
    return got.length
  }

  async #seek(position: number): Promise<void> {
    await this.#body.return?.()
    this.#left = new Uint8Array(0)
    const same = this.#version === undefined ? {} : { IfMatch: this.#version }
    const command = new GetObjectCommand({ ...this.#place, ...same, Range: `bytes=${position}-` })
    this.#body = bodyOf(await this.#client.send(command))
    this.#position = position
  }
}

const bodyOf = (answer: GetObjectCommandOutput): AsyncIterator<Uint8Array> =>
  (answer.Body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]()
