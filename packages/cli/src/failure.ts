// From an error to what a person reads and the exit code. Mistakes and refusals are clean text; anything else is our
// own fault and says so, with its stack.
import type { Terminal } from './terminal.js'

/** The line was wrong: everything that is wrong with it at once. */
export class UsageError extends Error {
  readonly command: string | undefined

  constructor(problems: readonly string[], command?: string) {
    super(problems.join('\n'))
    this.name = 'UsageError'
    this.command = command
  }
}

/** What a command refuses or cannot do, before any library is loaded: shown like a HearthError. */
export class CommandError extends Error {
  constructor(message: string, remedy?: string) {
    super(remedy === undefined ? message : `${message}\n  remedy: ${remedy}`)
    this.name = 'CommandError'
  }
}

/**
 * Runs every check, so that nobody mends one mistake to be told the next.
 * @throws CommandError with all refusals; anything else as it is
 */
export async function allOrRefusals(checks: readonly (() => unknown)[]): Promise<void> {
  const results = await Promise.allSettled(checks.map((check) => Promise.resolve().then(check)))
  const reasons = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []))
  const refusals = reasons.filter(isRefusal)
  if (refusals.length < reasons.length) throw reasons.find((reason) => !isRefusal(reason))
  const messages = [...new Set(refusals.map(inWords))]
  if (messages.length > 1) throw new CommandError(messages.join('\n'))
  if (refusals.length > 0) throw refusals[0]!
}

/** Exit codes, as docs/cli lists them. */
export const exitCodes = { refused: 1, usage: 2, internal: 70, requeue: 75, interrupted: 130, terminated: 143 } as const

/** Prints what went wrong on stderr and returns the exit code. */
export function reportFailure(error: unknown, terminal: Terminal): number {
  const { red, dim } = terminal.noteColors
  const label = red('error:')
  if (error instanceof UsageError) {
    const help = error.command === undefined ? 'hearth --help' : `hearth ${error.command} --help`
    for (const line of error.message.split('\n')) terminal.note(`${label} ${line}`)
    terminal.note(dim(`See: ${help}`))
    return exitCodes.usage
  }
  if (isRefusal(error)) {
    terminal.note(`${label} ${inWords(error)}`)
    return exitCodes.refused
  }
  terminal.note(`${label} something went wrong inside Hearth itself; please report it, with the lines below.`)
  terminal.note(error instanceof Error ? (error.stack ?? error.message) : String(error))
  return exitCodes.internal
}

const SYSTEM_WORDS: Record<string, string> = {
  ENOENT: 'no such file or folder',
  ENOTDIR: 'is not a folder',
  EISDIR: 'is a folder; expected a file',
  EACCES: 'permission is denied',
  ENOSPC: 'the disk is full',
}

/** An error of the system as what is wrong with which file. */
function inWords(error: NodeJS.ErrnoException): string {
  const words = SYSTEM_WORDS[error.code ?? '']
  return words === undefined || error.path === undefined ? error.message : `${error.path}: ${words} (${error.message})`
}

/**
 * The HearthError family, known by its shape: the class is in @hearth/torch, whose native module must not be loaded (and
 * may be what is missing) to print an error. Errors of the system name the file and the reason themselves.
 */
function isRefusal(error: unknown): error is Error {
  if (!(error instanceof Error)) return false
  if (error instanceof CommandError || 'remedy' in error) return true
  return 'syscall' in error && 'path' in error
}
