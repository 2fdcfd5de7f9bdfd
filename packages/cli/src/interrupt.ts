// Ctrl+C and SIGTERM during long work. The first asks for an orderly end through an AbortSignal, and says what is kept if
// there is a second: that one is left to the system, which ends the process even in the middle of a long computation.
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
  /** What is kept should there be a second: `step 400 is saved`. */
  kept: () => string
}

// npm and npx pass on the Ctrl+C that the terminal has already sent to every process in front: the repetition follows
// within milliseconds and is not a second wish. What comes in this time is dropped.
const REPEAT_MILLISECONDS = 250

/**
 * Listens for both signals until released.
 * @param note prints a line where the person reads it
 */
export function onInterrupt(note: (text: string) => void, { stopping, kept }: InterruptOptions): Interrupt {
  const abort = new AbortController()
  let cause: Cause | undefined
  const release = () => {
    process.off('SIGINT', hear)
    process.off('SIGTERM', hear)
  }
  const hear = (signal: Cause) => {
    cause = signal
    note(`${stopping} (Ctrl+C again stops at once: ${kept()}.)`)
    abort.abort()
    // Blocking, because the work that is being finished leaves no other moment between two long computations.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, REPEAT_MILLISECONDS)
    release()
  }
  process.on('SIGINT', hear)
  process.on('SIGTERM', hear)
  return {
    signal: abort.signal,
    get exitCode() {
      return cause && CODES[cause]
    },
    release,
  }
}
