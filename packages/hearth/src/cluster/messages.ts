// What a supervisor and its workers say to each other, over the pipe that a process is born with: nobody else can speak
// on it, nothing listens. Structured clones, never code.

/** From the supervisor. */
export type ToWorker<Task> =
  /** Whatever the worker needs before it can do tasks. */
  | { kind: 'open'; job: unknown }
  | { kind: 'task'; ticket: number; task: Task }
  /** A fault to be had, for drills and tests. */
  | { kind: 'fault'; fault: InjectedFault }

/** From a worker. */
export type FromWorker =
  | { kind: 'ready' }
  | { kind: 'done'; ticket: number; result: unknown }
  | { kind: 'failed'; ticket: number; message: string }

/** Faults that only the worker itself can have; what a signal does is done to it from outside. */
export type InjectedFault =
  /** Ends with this code, at once. */
  | { kind: 'exit'; code: number }
  /** Its event loop and its work stand still. */
  | { kind: 'block'; seconds: number }
  /** Its next task is late. */
  | { kind: 'slow'; seconds: number }
  /** All its tasks from now on are late. */
  | { kind: 'drag'; seconds: number }
  /** Its next gradient has a number that is none. */
  | { kind: 'nan' }
  /** The disk is full when it writes next. */
  | { kind: 'full disk' }
