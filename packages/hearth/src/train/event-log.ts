// events.jsonl of a run: what went wrong, when it was noticed, what was done and what it cost; and the goodput so far.
// A line an event, with the system's care of metrics-append-file.ts.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { CrewEvent } from '../cluster/index.js'
import type { Refusal } from './judged-steps.js'
import type { MachineEvent } from './machines/machines.js'
import { AppendFile } from './metrics-append-file.js'

export type RunTrouble =
  | { kind: 'worker-started'; worker: number; pid: number; seconds: number }
  | { kind: 'worker-lost'; worker: number; pid: number; reason: string; noticedAfterSeconds?: number }
  /** The process that writes checkpoints; another does its work again. */
  | { kind: 'saver-lost'; pid: number; reason: string }
  | { kind: 'task-failed'; worker: number; reason: string }
  /** Seconds that its share of a step takes, and that of the others. */
  | { kind: 'worker-slow'; worker: number; seconds: number; usual: number }
  /** The run goes on with fewer workers, and tries this one again after so many seconds. */
  | { kind: 'worker-resting'; worker: number; reason: string; seconds: number }
  /** A step was done although workers were lost in it. */
  | { kind: 'recovered'; step: number; seconds: number; lostSeconds: number }
  /** A gradient that is not finite, or a loss spike: its batch was taken again, or left out; or the run ended with it. */
  | { kind: 'refused'; step: number; batch: number; reason: string; action: 'again' | 'skip' | 'give up' }
  /** The run went back to the state after step `to`; batches from the first of `skipped` up to the second are left out. */
  | { kind: 'rewound'; to: number; from: number; skipped: readonly [number, number]; reason: string; bad?: number }
  /** The committed state was not what was written any more: the step was done again, or a checkpoint was gone back to. */
  | { kind: 'corrupt'; step: number; tensors: string[]; healedBy: 'the step again' | 'a checkpoint' }
  | { kind: 'resumed'; step: number; from: 'state file' | 'checkpoint' | 'nothing' }
  /** Machines: a group of them was formed, broke, or gave one of them its state. */
  | MachineEvent
  | { kind: 'goodput'; step: number; goodput: number; steps: number; seconds: number }

export class EventLog {
  readonly #file: AppendFile
  readonly #onEvent: (event: RunTrouble) => void

  /** @param host named in every event, where several write about one run */
  constructor(
    path: string,
    onEvent: (event: RunTrouble) => void,
    onProblem: (error: Error) => void,
    readonly host?: string,
  ) {
    this.#file = new AppendFile(path, onProblem)
    this.#onEvent = onEvent
  }

  write(event: RunTrouble): void {
    this.#file.append(
      Buffer.from(
        JSON.stringify({
          time: new Date().toISOString(),
          ...(this.host !== undefined && { host: this.host }),
          ...event,
        }) + '\n',
      ),
    )
    this.#onEvent(event)
  }

  close(): void {
    this.#file.close()
  }
}

/** The events of a run so far, of all its machines, by time; a line that was torn by a crash is left out. */
export function readEvents(path: string): (RunTrouble & { time: string; host?: string })[] {
  const [folder, stem] = [dirname(path), basename(path, '.jsonl')]
  const names = existsSync(folder) ? readdirSync(folder) : []
  const own = names.filter(
    (name) => name === `${stem}.jsonl` || (name.startsWith(`${stem}-`) && name.endsWith('.jsonl')),
  )
  return own.flatMap((name) => readLines(join(folder, name))).sort((a, b) => (a.time < b.time ? -1 : 1))
}

function readLines(path: string): (RunTrouble & { time: string; host?: string })[] {
  const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean)
  return lines.flatMap((line) => {
    try {
      return [JSON.parse(line) as RunTrouble & { time: string }]
    } catch {
      return []
    }
  })
}

/** What became of an attempt that did not count; going back is told when it is done. */
export function refusalOf({ step, batch, verdict }: Refusal): RunTrouble {
  const { kind: action, reason } = verdict as Exclude<Refusal['verdict'], { kind: 'rewind' }>
  return { kind: 'refused', step, batch, reason, action }
}

export const saverLost = ({ pid, reason }: Extract<CrewEvent, { kind: 'lost' }>): RunTrouble => ({
  kind: 'saver-lost',
  pid,
  reason,
})

/** What a supervisor noticed, in the words of the log. */
export function troubleOf(event: CrewEvent): RunTrouble {
  const { kind, place: worker, ...rest } = event
  const names = {
    started: 'worker-started',
    lost: 'worker-lost',
    failed: 'task-failed',
    slow: 'worker-slow',
    resting: 'worker-resting',
  } as const
  return { kind: names[kind], worker, ...rest } as RunTrouble
}

/**
 * Share of the time that went into steps which count: all of an undisturbed step, and of one in which a worker was lost
 * as much as such a step usually takes.
 */
export class Goodput {
  readonly #undisturbed: number[] = []
  readonly #disturbed: number[] = []

  /** @param disturbed whether a worker was lost in this step */
  add(seconds: number, disturbed: boolean): void {
    if (disturbed) this.#disturbed.push(seconds)
    else this.#undisturbed.push(seconds)
  }

  /** Seconds of an undisturbed step: the median; undefined before there was one. */
  get usual(): number | undefined {
    return this.#undisturbed.toSorted((a, b) => a - b)[Math.floor(this.#undisturbed.length / 2)]
  }

  get value(): { goodput: number; steps: number; seconds: number } {
    const calm = sum(this.#undisturbed)
    const good = calm + sum(this.#disturbed.map((seconds) => Math.min(seconds, this.usual ?? 0)))
    const seconds = calm + sum(this.#disturbed)
    const steps = this.#undisturbed.length + this.#disturbed.length
    return { goodput: seconds === 0 ? 1 : good / seconds, steps, seconds }
  }
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
