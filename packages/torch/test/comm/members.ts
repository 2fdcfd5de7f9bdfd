// Child processes for tests of groups; see member.mjs.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type * as Torch from '../../src/index.js'
import { RendezvousServer, type CommError, type ProcessGroup } from '../../src/index.js'

/** What a function that runs in a member finds there. */
declare global {
  const torch: typeof Torch
  const shared: { group: ProcessGroup } & Record<string, unknown>
}

const PROGRAM = fileURLToPath(new URL('member.mjs', import.meta.url))

export class Member {
  readonly process: ChildProcess
  readonly #answers = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>()
  #questions = 0

  private constructor(child: ChildProcess) {
    this.process = child
    child.on('message', ({ id, value, error }: { id: number; value: never; error?: Partial<CommError> }) => {
      const answer = this.#answers.get(id)
      this.#answers.delete(id)
      if (error !== undefined) answer?.reject(Object.assign(new Error(error.message), error))
      else answer?.resolve(value)
    })
    child.on('exit', (code, signal) => {
      for (const { reject } of this.#answers.values()) reject(new Error(`the member ended: ${signal ?? code}`))
    })
  }

  static async start(): Promise<Member> {
    const child = fork(PROGRAM, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], serialization: 'advanced' })
    await once(child, 'message')
    return new Member(child)
  }

  /** Runs a function there, which sees only its arguments, `torch` and `shared`. */
  run<A extends unknown[], R>(work: (...args: A) => R, ...args: A): Promise<Awaited<R>> {
    const id = ++this.#questions
    return new Promise((resolve, reject) => {
      this.#answers.set(id, { resolve, reject })
      this.process.send({ id, source: work.toString(), args })
    })
  }

  /** What a function that fails there throws. */
  failure(work: () => unknown): Promise<CommError> {
    return this.run(work).then(
      () => {
        throw new Error('it did not fail')
      },
      (error: unknown) => error as CommError,
    )
  }

  async end(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    this.process.kill('SIGKILL')
    await once(this.process, 'exit')
  }
}

/** Members that are started once, and started anew when a test killed one. */
export class Members {
  #members: Member[] = []
  #generation = 0
  #server: RendezvousServer | undefined

  async take(count: number): Promise<Member[]> {
    this.#members = this.#members.filter(
      ({ process: { exitCode, signalCode } }) => exitCode === null && signalCode === null,
    )
    const missing = count - this.#members.length
    if (missing > 0) this.#members.push(...(await Promise.all(Array.from({ length: missing }, () => Member.start()))))
    return this.#members.slice(0, count)
  }

  /** Members that have joined a group. */
  async joined(size: number, timeoutSeconds = 20): Promise<Member[]> {
    this.#server ??= await RendezvousServer.listen()
    const [members, generation, { port }] = [await this.take(size), this.#generation++, this.#server]
    await Promise.all(
      members.map((member, rank) =>
        member.run(
          async (options) => {
            shared.group = await torch.ProcessGroup.join(options)
          },
          { store: { host: '127.0.0.1', port }, rank, size, timeoutSeconds, generation },
        ),
      ),
    )
    return members
  }

  async end(): Promise<void> {
    this.#server?.close()
    await Promise.all(this.#members.map((member) => member.end()))
  }
}

/** The same function in every member; what each of them throws is a result too. */
export function everywhere<R>(members: readonly Member[], work: (rank: number) => R): Promise<Awaited<R>[]> {
  return Promise.all(members.map((member, rank) => member.run(work, rank)))
}
