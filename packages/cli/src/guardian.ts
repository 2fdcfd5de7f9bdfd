// The side of a guardian's charge, the process that carries a run (alone, or as supervisor of others): the guardian is a
// small process that starts another should this one be killed. If the guardian is killed, its charge starts another
// guardian: only both at once end a run. Not here: what the guardian does (guardian-process.ts).
import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** From the process that it guards. */
export type ToGuardian =
  /** @param args of `hearth resume`, besides the folder; `restarts` without progress before this process. */
  | { kind: 'guard'; dir: string; args: readonly string[]; pid: number; restarts: number }
  /** The run has come further than whoever takes over would begin from. */
  | { kind: 'progress' }
  /** The run ends as it should. */
  | { kind: 'done' }

/** Set for a process that takes another's place. */
export const RESTARTS = 'HEARTH_SUPERVISOR_RESTARTS'

const program = fileURLToPath(new URL('./guardian-process.js', import.meta.url))

export class Guardian {
  readonly #charge: Extract<ToGuardian, { kind: 'guard' }>
  #process: ChildProcess
  #progress = false
  #released = false

  /**
   * @param dir the run's folder
   * @param args of `hearth resume` for the one that takes over
   */
  constructor(dir: string, args: readonly string[]) {
    const restarts = Number(process.env[RESTARTS] ?? 0)
    this.#charge = { kind: 'guard', dir, args, pid: process.pid, restarts }
    this.#process = this.#start()
  }

  /** The run came further: whoever takes over begins to count anew. */
  progress(): void {
    if (!this.#progress) this.#send({ kind: 'progress' })
    this.#progress = true
  }

  /** The run ends, or is asked to: nobody is to take it over. */
  release(): void {
    this.#released = true
    this.#send({ kind: 'done' })
  }

  #start(): ChildProcess {
    const child = fork(program, [], { detached: true, stdio: ['ignore', 'inherit', 'inherit', 'ipc'], execArgv: [] })
    child.unref()
    child.channel?.unref()
    child.on('error', () => undefined)
    child.on('exit', () => {
      if (!this.#released) this.#process = this.#start()
    })
    child.send(this.#charge, () => undefined)
    if (this.#progress) child.send({ kind: 'progress' } satisfies ToGuardian, () => undefined)
    return child
  }

  #send(message: ToGuardian): void {
    if (this.#process.connected) this.#process.send(message, () => undefined)
  }
}
