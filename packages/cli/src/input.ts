// Text that a command is given on the line, in a file, or on stdin.
import { readFileSync } from 'node:fs'
import { CommandError } from './failure.js'

/** All of stdin as text, without the last line's end. */
export async function readStdin(): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  return asText(Buffer.concat(chunks), 'stdin').replace(/\r?\n$/, '')
}

/**
 * The contents of a text file.
 * @throws CommandError when it cannot be read or is not text
 */
export function readTextFile(path: string): string {
  return asText(readInputFile(path), path)
}

/**
 * The bytes of a file that a person named.
 * @throws CommandError when there is none, or it cannot be read
 */
export function readInputFile(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') throw new CommandError(`${path}: no such file; relative paths start at ${process.cwd()}`)
    throw new CommandError(
      code === 'EISDIR' ? `${path} is a folder; expected a file` : `${path} cannot be read: ${message}`,
    )
  }
}

function asText(bytes: Buffer, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new CommandError(`${where} is not UTF-8 text`, 'convert it: iconv -f LATIN1 -t UTF-8 OLD > NEW')
  }
}

/**
 * Token ids as a person writes them: `1,2,3`, `1 2 3` or a JSON array.
 * @throws CommandError naming the first word that is no id
 */
export function parseIds(text: string, where: string): number[] {
  const words = text
    .replace(/^\s*\[|\]\s*$/g, '')
    .split(/[\s,]+/)
    .filter((word) => word !== '')
  const wrong = words.find((word) => !/^\d{1,9}$/.test(word))
  if (wrong !== undefined)
    throw new CommandError(`${where}: ${JSON.stringify(wrong)} is no token id; expected whole numbers, as 15,7,42`)
  return words.map(Number)
}
