// Bits per byte that compression programs need for a text: the same measure as a language model's, measured here and now.
import { spawn } from 'node:child_process'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

export interface Compression {
  /** The program with its options. */
  name: string
  bitsPerByte: number
}

const PROGRAMS = [
  ['xz', '-9e', '-c'],
  ['bzip2', '-9', '-c'],
] as const

/** Compresses the text with xz and bzip2, or where neither is installed with the gzip and brotli that Node brings. */
export async function measureCompression(text: Uint8Array): Promise<Compression[]> {
  const results = await Promise.all(PROGRAMS.map((command) => compressedSize(command, text)))
  const found = PROGRAMS.flatMap(([program, level], i) => {
    const size = results[i]
    return size === undefined ? [] : [{ name: `${program} ${level}`, bitsPerByte: (8 * size) / text.length }]
  })
  return found.length > 0 ? found : measureOwnCompression(text)
}

/** gzip and brotli at their strongest, both inside Node. */
export function measureOwnCompression(text: Uint8Array): Compression[] {
  const brotli = { params: { [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS } }
  return [
    { name: 'gzip -9', bitsPerByte: (8 * gzipSync(text, { level: 9 }).length) / text.length },
    { name: 'brotli -q 11', bitsPerByte: (8 * brotliCompressSync(text, brotli).length) / text.length },
  ]
}

/** Bytes that the program makes of the text; undefined where it is not installed or fails. */
function compressedSize(
  [program, ...options]: readonly [string, ...string[]],
  text: Uint8Array,
): Promise<number | undefined> {
  return new Promise((resolve) => {
    const child = spawn(program, options, { stdio: ['pipe', 'pipe', 'ignore'] })
    let size = 0
    child.stdout.on('data', (bytes: Buffer) => (size += bytes.length))
    child.on('error', () => resolve(undefined))
    child.on('close', (code) => resolve(code === 0 ? size : undefined))
    // A program that ends early shows in its exit code.
    child.stdin.on('error', () => undefined)
    child.stdin.end(text)
  })
}
