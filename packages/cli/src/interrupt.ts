// Ctrl+C, SIGTERM, and SIGUSR1 (a cluster's notice that the machine is needed) during long work. The first asks for an orderly end through an AbortSignal, and says what is kept if
// there is a second: that one is left to the system, which ends the process even in the middle of a long computation.
import { exitCodes } from './failure.js'

const CODES = {
  SIGINT: exitCodes.interrupted,
  SIGTERM: exitCodes.terminated,
  SIGUSR1: exitCodes.requeue,
} as const
type Cause = keyof typeof CODES
const CAUSES = Object.keys(CODES) as Cause[]

export interface Interrupt {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal
  /** 130 or 143 once a signal came, as shells expect; 75 after SIGUSR1, which asks to be started again. */
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
 * Listens for the signals until released.
 * @param note prints a line where the person reads it
 */
export function onInterrupt(note: (text: string) => void, { stopping, kept }: InterruptOptions): Interrupt {
  const abort = new AbortController()
  let cause: Cause | undefined
  const release = () => {
    for (const signal of CAUSES) process.off(signal, hear)
  }
  const hear = (signal: Cause) => {
    cause = signal
    note(`${stopping} (Ctrl+C again stops at once: ${kept()}.)`)
    abort.abort()
    // Blocking, because the work that is being finished leaves no other moment between two long computations.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, REPEAT_MILLISECONDS)
    release()
  }
  for (const signal of CAUSES) process.on(signal, hear)
  return {
    signal: abort.signal,
    get exitCode() {
      return cause && CODES[cause]
    },
    release,
  }
}
