// A rank's side: it opens its job, joins the group as often as that forms, and does what all ranks are told to do at once.
// It ends when the process that watches over it is gone. Not here: what is done (hearth/train).
import { CommError, ProcessGroup } from '@hearth/torch'
import type { FromRank, ToRank } from './rank-messages.js'

/** What a rank does. */
export interface RankHandlers<Command> {
  /** A group has formed, of which this process is a member. */
  join(group: ProcessGroup): Promise<unknown>
  run(command: Command): Promise<unknown>
}

/**
 * Makes this process a rank. Returns at once; the process lives as long as the one that started it.
 * @param open prepares; when it throws, the process ends with the message on stderr
 */
export function serveRank<Command>(rank: number, open: (job: unknown) => Promise<RankHandlers<Command>>): void {
  // Ctrl+C and kill reach every process of a terminal or job: whether to stop is decided in one place.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1'] as const) process.on(signal, () => undefined)
  process.on('disconnect', () => process.exit(0))
  const say = (message: FromRank) => process.send?.(message)
  let handlers: RankHandlers<Command> | undefined
  let group: ProcessGroup | undefined

  const join = async ({ kind, ticket, ...options }: Extract<ToRank, { kind: 'join' }>) => {
    group?.abort(`another group forms (${kind} ${ticket})`)
    group = await ProcessGroup.join({ ...options, rank })
    return await handlers!.join(group)
  }
  const failed = (ticket: number, error: unknown): FromRank => {
    if (error instanceof CommError) return { kind: 'broken', ticket, message: error.message, peers: error.peers }
    // The others must not wait for this one.
    group?.abort(wordsOf(error))
    return { kind: 'failed', ticket, message: wordsOf(error) }
  }
  const answer = (ticket: number, work: Promise<unknown>) =>
    void work
      .then(
        (result): FromRank => ({ kind: 'done', ticket, result }),
        (error: unknown) => failed(ticket, error),
      )
      .then(say)

  process.on('message', (message: ToRank) => {
    if (message.kind === 'open') open(message.job).then((opened) => ((handlers = opened), say({ kind: 'ready' })), end)
    else if (message.kind === 'join') answer(message.ticket, join(message))
    else if (message.kind === 'command') answer(message.ticket, handlers!.run(message.command as Command))
    else if (message.kind === 'abort') group?.abort(message.reason)
    else if (message.fault.kind === 'exit') process.exit(message.fault.code)
    else if (message.fault.kind === 'block') stand(message.fault.seconds)
  })
}

const stand = (seconds: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000)

function end(error: unknown): void {
  console.error(wordsOf(error))
  process.exit(1)
}

const wordsOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
