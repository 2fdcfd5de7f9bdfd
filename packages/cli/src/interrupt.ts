// Ctrl+C and SIGTERM during long work. The first asks for an orderly end through an AbortSignal; a second one does not
// wait: it says what is kept and ends the process.
import { exitCodes } from './failure.js'

type Cause = 'SIGINT' | 'SIGTERM'
const CODES = { SIGINT: exitCodes.interrupted, SIGTERM: exitCodes.terminated } as const

export interface Interrupt {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal
  /** 130 or 143 once a signal came, as shells expect. */
  readonly exitCode: number | undefined
  /** Gives the signals back to the system. */
  release(): void
}

export interface InterruptOptions {
  /** Said at the first signal: what is being finished. */
  stopping: string
  /** Said at the second: what is kept. */
  kept: () => string
}

// npm and npx pass on the Ctrl+C that the terminal has already sent to every process in front: the repetition follows
// within milliseconds and is not a second wish.
const REPEAT_MILLISECONDS = 250

/**
 * Listens for both signals until released.
 * @param note prints a line where the person reads it
 */
export function onInterrupt(note: (text: string) => void, { stopping, kept }: InterruptOptions): Interrupt {
  const abort = new AbortController()
  let cause: Cause | undefined
  let last = -Infinity
  const hear = (signal: Cause) => {
    const repeated = performance.now() - last < REPEAT_MILLISECONDS
    last = performance.now()
    if (repeated) return
    if (cause !== undefined) {
      note(`Stopped at once. ${kept()}`)
      process.exit(CODES[signal])
    }
    cause = signal
    note(`${stopping} (Ctrl+C again stops at once.)`)
    abort.abort()
  }
  process.on('SIGINT', hear)
  process.on('SIGTERM', hear)
  return {
    signal: abort.signal,
    get exitCode() {
      return cause && CODES[cause]
    },
    release() {
      process.off('SIGINT', hear)
      process.off('SIGTERM', hear)
    },
  }
}
