// A log file that only grows. What is appended is with the operating system when the call returns, so that a killed
// process loses none of it; and a disk that is full costs the log, never the training. Not here: what the bytes mean.
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'

export class AppendFile {
  readonly path: string
  readonly #file: number
  readonly #onProblem: (error: Error) => void
  #pending = Buffer.alloc(0)
  #failing = false

  /**
   * @param onProblem told once when bytes cannot be written; they are kept, and tried again with the next
   * @throws the system's error when the file cannot be opened
   */
  constructor(path: string, onProblem: (error: Error) => void) {
    this.path = path
    this.#onProblem = onProblem
    this.#file = openSync(path, 'a')
  }

  append(bytes: Uint8Array): void {
    this.#pending = Buffer.concat([this.#pending, bytes])
    this.#try(() => {
      while (this.#pending.length > 0) this.#pending = this.#pending.subarray(writeSync(this.#file, this.#pending))
    })
  }

  /** Brings what was appended to disk, against power cuts. */
  sync(): void {
    this.append(Buffer.alloc(0))
    this.#try(() => fsyncSync(this.#file))
  }

  close(): void {
    this.append(Buffer.alloc(0))
    closeSync(this.#file)
  }

  #try(run: () => void): void {
    try {
      run()
      this.#failing = false
    } catch (error) {
      if (!this.#failing) this.#onProblem(error as Error)
      this.#failing = true
    }
  }
}
