// The two streams of a command: answers go to stdout, everything about the work (progress, notes, errors) to stderr.
// Colour only where a person looks; a reader that went away (EPIPE) ends nothing that is worth keeping.
import pc from 'picocolors'

type Colors = ReturnType<typeof pc.createColors>

/** Where a command writes, and the exit code it leaves. */
export interface Terminal {
  /** A line of the answer. */
  print: (text: string) => void
  /** A piece of the answer, as it is: for streaming. */
  write: (text: string) => void
  /** A piece of text that a model wrote: where a person looks, without what would command the terminal. */
  writeText: (text: string) => void
  /** The answer as JSON, the only thing on stdout then. */
  json: (value: unknown) => void
  /** A line about the work, on stderr. */
  note: (text: string) => void
  /** Colours of stdout and of stderr: functions that change nothing where there are none. */
  readonly colors: Colors
  readonly noteColors: Colors
  /** Whether a person sees stderr on a terminal that can rewrite a line. */
  readonly interactive: boolean
  exitCode: number
}

// Undefined where it is none: that would make picocolors decide by itself, and colour the logs of CI services.
const isTerminal = (stream: { isTTY?: boolean }): boolean => stream.isTTY ?? false

const colorsOf = (stream: NodeJS.WriteStream): Colors =>
  // https://no-color.org: present and not empty, whatever its value.
  pc.createColors(isTerminal(stream) && (process.env.NO_COLOR ?? '') === '' && process.env.TERM !== 'dumb')

/** Text without control characters, lines and tabs excepted: a model may write any, and escape sequences of them. */
export const withoutControls = (text: string): string => text.replace(/[^\P{Cc}\n\t]/gu, '')

/** The terminal of this process. */
export function processTerminal(): Terminal {
  const { stdout, stderr } = process
  return {
    print: (text) => stdout.write(`${text}\n`),
    write: (text) => stdout.write(text),
    writeText: (text) => stdout.write(isTerminal(stdout) ? withoutControls(text) : text),
    json: (value) => stdout.write(`${JSON.stringify(value, undefined, 2)}\n`),
    note: (text) => stderr.write(`${text}\n`),
    colors: colorsOf(stdout),
    noteColors: colorsOf(stderr),
    interactive: isTerminal(stderr) && process.env.TERM !== 'dumb',
    exitCode: 0,
  }
}

/**
 * Whoever read stdout has gone (`hearth runs | head`): there is nobody to answer, so the process ends without a word.
 * When stderr goes, work continues in silence: a closed window must not end a training.
 */
export function quietBrokenPipes(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(process.exitCode ?? 0)
  })
  process.stderr.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
}
