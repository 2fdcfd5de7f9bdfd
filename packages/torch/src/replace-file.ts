// Writing a file so that its name holds either the old contents or the new ones, whole, whatever happens in between.
import { randomUUID } from 'node:crypto'
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { HearthError } from './errors.js'

// Large enough that calls cost nothing; a write of more than 2 GiB would be cut short by Linux anyway.
const PIECE = 16 * 2 ** 20

/** Writes all bytes at the end of what was written, however many calls the system makes of it. */
export type Write = (bytes: Uint8Array) => void

/**
 * Writes a new file beside `path`, brings it to disk and renames it over `path`. Processes that have the old file open
 * or mapped keep it as it was.
 * @param body is given a function that appends bytes
 * @throws HearthError when the disk refuses (full, read-only, ...): the old file is untouched and nothing is left behind
 * @example
 * replaceFile('run/config.json', (write) => write(new TextEncoder().encode(text)))
 */
export function replaceFile(path: string, body: (write: Write) => void): void {
  const folder = dirname(path)
  const partial = join(folder, `.${basename(path)}.${process.pid}.${randomUUID().slice(0, 8)}.tmp`)
  let failedIn: string | undefined
  const step = <T>(name: string, run: () => T): T => {
    failedIn = name
    const result = run()
    failedIn = undefined
    return result
  }
  try {
    const file = step('open', () => openSync(partial, 'wx'))
    try {
      body((bytes) => step('write', () => writeAll(file, bytes)))
      step('fsync', () => fsyncSync(file))
    } finally {
      closeSync(file)
    }
    step('rename', () => renameSync(partial, path))
    step('fsync of the folder', () => syncFolder(folder))
  } catch (cause) {
    rmSync(partial, { force: true })
    // What `body` itself threw is not about this file.
    if (failedIn === undefined) throw cause
    throw new HearthError(`cannot write ${path}: ${failedIn} failed: ${(cause as Error).message}`, { cause })
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at, Math.min(PIECE, bytes.length - at))
}

// A rename is in the folder, and only the folder's own fsync brings it to disk.
function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
