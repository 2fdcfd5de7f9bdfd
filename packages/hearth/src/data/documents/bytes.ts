/**
 * The bytes of a text file, decompressed as they are read: plain, gzip, zstd.
 * Node 20 has no zstd of its own; fzstd decompresses and does not verify zstd's optional checksum.
 */
import { createReadStream } from 'node:fs'
import { createGunzip } from 'node:zlib'
import { pipeline } from 'node:stream'
import { Decompress } from 'fzstd'
import type { SourceFile } from './sources.js'

const CHUNK = 1 << 20

/** Reads and decompresses a file, some bytes at a time. */
export async function* fileBytes(file: SourceFile): AsyncGenerator<Uint8Array> {
  const raw = createReadStream(file.path, { highWaterMark: CHUNK })
  if (file.compression === 'none') {
    yield* raw as AsyncIterable<Uint8Array>
  } else if (file.compression === 'gzip') {
    // An error of the one stream ends the other, and reaches the reader of the last.
    yield* pipeline(raw, createGunzip({ chunkSize: CHUNK }), () => undefined) as AsyncIterable<Uint8Array>
  } else {
    yield* unzstd(raw as AsyncIterable<Uint8Array>)
  }
}

async function* unzstd(compressed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let ready: Uint8Array[] = []
  const decompressor = new Decompress((bytes) => {
    if (bytes.length > 0) ready.push(bytes)
  })
  for await (const chunk of compressed) {
    // Small steps, so that highly compressed text does not swell to many times a chunk at once.
    for (let at = 0; at < chunk.length; at += CHUNK / 16) {
      decompressor.push(chunk.subarray(at, at + CHUNK / 16))
      yield* ready
      ready = []
    }
  }
  decompressor.push(new Uint8Array(0), true)
  yield* ready
}
