// The worker's side of a supervised process: it opens its job, does one task after the other, and ends when its
// supervisor is gone. Not here: what a task is (hearth/train).
import type { FromWorker, InjectedFault, ToWorker } from './messages.js'

/** What a worker does. */
export interface TaskHandlers<Task> {
  run(task: Task): Promise<unknown>
  /** Spoils the next task's result: for drills. */
  spoil?(): void
}

/**
 * Makes this process a worker. Returns at once; the process lives as long as its supervisor does.
 * @param open prepares for tasks; when it throws, the process ends with the message on stderr
 */
export function serveTasks<Task>(open: (job: unknown) => Promise<TaskHandlers<Task>>): void {
  // Ctrl+C and kill reach every process of a terminal or job: whether to stop is the supervisor's to decide.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1'] as const) process.on(signal, () => undefined)
  process.on('disconnect', () => process.exit(0))
  const say = (message: FromWorker) => process.send?.(message)
  let handlers: TaskHandlers<Task> | undefined
  let lateSeconds = 0
  let dragSeconds = 0
  process.on('message', (message: ToWorker<Task>) => {
    if (message.kind === 'fault') {
      if (message.fault.kind === 'drag') dragSeconds = message.fault.seconds
      lateSeconds += have(message.fault, handlers)
    } else if (message.kind === 'open')
      open(message.job).then(
        (opened) => {
          handlers = opened
          say({ kind: 'ready' })
        },
        (error: unknown) => {
          console.error(describe(error))
          process.exit(1)
        },
      )
    else {
      const { ticket, task } = message
      const late = lateSeconds + dragSeconds
      lateSeconds = 0
      const answer = sleep(late)
        .then(() => handlers!.run(task))
        .then(
          (result): FromWorker => ({ kind: 'done', ticket, result }),
          (error: unknown): FromWorker => ({ kind: 'failed', ticket, message: describe(error) }),
        )
      void answer.then(say)
    }
  })
}

const sleep = (seconds: number) =>
  new Promise((resolve) => (seconds > 0 ? setTimeout(resolve, seconds * 1000) : resolve(0)))
const describe = (error: unknown) => (error instanceof Error ? error.message : String(error))

/** Has a fault; returns the seconds by which the next task is late. */
function have(fault: InjectedFault, handlers: TaskHandlers<never> | undefined): number {
  if (fault.kind === 'exit') process.exit(fault.code)
  if (fault.kind === 'block') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, fault.seconds * 1000)
  if (fault.kind === 'nan' || fault.kind === 'full disk') handlers?.spoil?.()
  return fault.kind === 'slow' ? fault.seconds : 0
}
