// Who does what, and what happens when somebody does not: a pure state machine over workers and tasks. It is told what
// happened (a worker is ready, gone, done; time passed) and answers with what to do (start, assign, kill). No processes,
// sockets or clocks in here, so a whole cluster with its faults can be simulated from one seed (crew.simulation.test.ts).
// Tasks are idempotent: one that was begun by a worker that died is begun again by another, with the same result.
import { Deadlines, type DeadlineOptions } from './deadlines.js'
import { Pace, type SlowWorker } from './pace.js'

/** A worker's place: from 0 to size - 1. The process in it may change. */
export type Place = number

export type CrewEffect<Task> =
  | { kind: 'start'; place: Place }
  | { kind: 'assign'; place: Place; ticket: number; task: Task }
  | { kind: 'kill'; place: Place; reason: string; afterSeconds: number }
  /** Takes longer than the others for tasks of the same size; a kill follows where slow workers are replaced. */
  | ({ kind: 'slow' } & SlowWorker)
  /** Nobody works in this place for a while: whoever is put there is lost. */
  | { kind: 'rest'; place: Place; reason: string; seconds: number }
  | { kind: 'finished'; results: unknown[] }
  | { kind: 'gave-up'; reason: string }

export interface CrewOptions {
  /** Workers that are wanted. */
  size: number
  /** Workers that one task, or starting, may cost before the run ends: the same fault would come again for ever. */
  maxFalls?: number
  deadlines?: DeadlineOptions
  /** Workers that are enough: a place where one after the other is lost rests. @default size */
  least?: number
  /** Seconds of the first rest; each later one is twice as long, up to ten minutes. @default 30 */
  restSeconds?: number
  /** The phase whose tasks are all of the same size: in it slow workers are noticed. */
  pacedPhase?: string
  /** Whether a slow worker is ended, for another to take its place; not again and again. */
  replaceSlow?: boolean
}

interface Member<Task> {
  state: 'empty' | 'starting' | 'idle' | 'busy' | 'dying' | 'resting'
  /** When it came into this state, in seconds. */
  since: number
  work: Assignment<Task> | undefined
  /** Processes lost in this place since the last task that was done in it, rests, and slow ones that were replaced. */
  losses: number
  rests: number
  replaced: number
}

interface Assignment<Task> {
  ticket: number
  index: number
  task: Task
}

interface Round<Task> {
  name: string
  /** Indices of tasks that nobody works on, first to be given out first. */
  open: number[]
  tasks: readonly Task[]
  results: unknown[]
  left: number
  /** How often each task failed, or cost its worker. */
  falls: number[]
}

const MAX_FALLS = 3
const START = 'start'
const REST_SECONDS = 30
const LONGEST_REST = 600
/** Where that did not help, the place is slow and not the process. */
const MAX_REPLACED = 2

export class Crew<Task> {
  readonly #members: Member<Task>[]
  readonly #maxFalls: number
  readonly #deadlines: Deadlines
  readonly #options: CrewOptions
  readonly #pace = new Pace()
  #round: Round<Task> | undefined
  #tickets = 0
  /** Workers that were lost while starting, since the last one that was not. */
  #failedStarts = 0
  #gaveUp = false

  constructor(options: CrewOptions) {
    const { size, maxFalls = MAX_FALLS, deadlines } = options
    this.#options = options
    this.#maxFalls = maxFalls
    this.#deadlines = new Deadlines(deadlines)
    const nobody = { state: 'empty', since: 0, work: undefined, losses: 0, rests: 0, replaced: 0 } as const
    this.#members = Array.from({ length: size }, () => ({ ...nobody }))
  }

  /** Workers that are wanted now: places that rest want none. */
  get wanted(): number {
    return this.#members.filter(({ state }) => state !== 'resting').length
  }

  /** Workers that are ready. */
  get ready(): number {
    return this.#members.filter(({ state }) => state === 'idle' || state === 'busy').length
  }

  /** Starts the workers that are missing. */
  muster(now: number): CrewEffect<Task>[] {
    if (this.#gaveUp) return []
    const empty = [...this.#members.keys()].filter((place) => this.#members[place]!.state === 'empty')
    for (const place of empty) this.#set(place, 'starting', now)
    return empty.map((place) => ({ kind: 'start', place }))
  }

  /**
   * Gives out a round of tasks; `finished` comes with their results in the tasks' order.
   * @param name of the phase, whose deadline is learned from its own history
   */
  begin(name: string, tasks: readonly Task[], now: number): CrewEffect<Task>[] {
    const open = [...tasks.keys()]
    const results = Array.from({ length: tasks.length })
    this.#round = { name, open, tasks, results, left: tasks.length, falls: tasks.map(() => 0) }
    return tasks.length === 0 ? this.#finish() : this.#assign(now)
  }

  /** A worker that was started can work now. */
  joined(place: Place, now: number): CrewEffect<Task>[] {
    const member = this.#members[place]!
    if (member.state !== 'starting') return []
    this.#deadlines.learn(START, now - member.since)
    this.#failedStarts = 0
    this.#set(place, 'idle', now)
    return this.#assign(now)
  }

  /** A worker says that a task is done. What comes from an earlier life of its place is not heard. */
  done(place: Place, ticket: number, result: unknown, now: number): CrewEffect<Task>[] {
    const member = this.#members[place]!
    const { work } = member
    if (member.state !== 'busy' || work?.ticket !== ticket || this.#round === undefined) return []
    const seconds = now - member.since
    this.#deadlines.learn(this.#round.name, seconds)
    member.losses = 0
    member.rests = 0
    this.#set(place, 'idle', now)
    this.#round.results[work.index] = result
    this.#round.left--
    const paced = this.#round.name === this.#options.pacedPhase ? this.#judgePace(place, seconds, now) : []
    return [...paced, ...(this.#round.left === 0 ? this.#finish() : this.#assign(now))]
  }

  /** A worker lives, but its task threw. */
  failed(place: Place, ticket: number, reason: string, now: number): CrewEffect<Task>[] {
    const { state, work } = this.#members[place]!
    if (state !== 'busy' || work?.ticket !== ticket) return []
    this.#set(place, 'idle', now)
    return this.#takeBack(work, reason) ?? this.#assign(now)
  }

  /** A worker's process is gone, whoever ended it: from here on nothing of it can write. */
  left(place: Place, reason: string, now: number): CrewEffect<Task>[] {
    const member = this.#members[place]!
    const { state, work } = member
    if (state === 'empty' || state === 'resting') return []
    this.#set(place, 'empty', now)
    this.#pace.forget(place)
    if (++member.losses >= this.#maxFalls && this.#canRest())
      return [this.#rest(place, reason, now), ...(this.#takeBack(work, reason) ?? this.#assign(now))]
    if (state === 'starting' && ++this.#failedStarts >= this.#maxFalls * this.#members.length)
      return this.#giveUp(`${this.#failedStarts} workers in a row did not start; the last: ${reason}`)
    return this.#takeBack(work, reason) ?? [...this.muster(now), ...this.#assign(now)]
  }

  /** Looks for workers that take too long. */
  tick(now: number): CrewEffect<Task>[] {
    const rested = [...this.#members.values()].filter(({ state, since }) => state === 'resting' && since <= now)
    for (const member of rested) member.state = 'empty'
    const effects = rested.length > 0 ? this.muster(now) : []
    for (const [place, { state, since }] of this.#members.entries()) {
      const phase = state === 'starting' ? START : state === 'busy' ? this.#round?.name : undefined
      if (phase === undefined || now - since <= this.#deadlines.of(phase)) continue
      effects.push(this.#kill(place, `no answer in phase '${phase}'`, now))
    }
    return effects
  }

  #kill(place: Place, reason: string, now: number): CrewEffect<Task> {
    const member = this.#members[place]!
    const afterSeconds = now - member.since
    Object.assign(member, { state: 'dying', since: now })
    return { kind: 'kill', place, reason, afterSeconds }
  }

  #judgePace(place: Place, seconds: number, now: number): CrewEffect<Task>[] {
    const slow = this.#pace.learn(place, seconds)
    if (slow === undefined) return []
    const member = this.#members[place]!
    const told: CrewEffect<Task> = { kind: 'slow', ...slow }
    if (!this.#options.replaceSlow || member.replaced >= MAX_REPLACED) return [told]
    member.replaced++
    const times = (slow.seconds / slow.usual).toFixed(1)
    return [told, this.#kill(place, `${times} times as slow as the others`, now)]
  }

  #canRest(): boolean {
    return this.wanted > (this.#options.least ?? this.#members.length)
  }

  /** `since` is when the rest ends. */
  #rest(place: Place, reason: string, now: number): CrewEffect<Task> {
    const member = this.#members[place]!
    const seconds = Math.min(LONGEST_REST, (this.#options.restSeconds ?? REST_SECONDS) * 2 ** member.rests++)
    member.losses = this.#maxFalls - 1
    this.#set(place, 'resting', now + seconds)
    return { kind: 'rest', place, reason, seconds }
  }

  #finish(): CrewEffect<Task>[] {
    const { results } = this.#round!
    this.#round = undefined
    return [{ kind: 'finished', results }]
  }

  #assign(now: number): CrewEffect<Task>[] {
    const effects: CrewEffect<Task>[] = []
    for (const [place, { state }] of this.#members.entries()) {
      const index = state === 'idle' ? this.#round?.open.shift() : undefined
      if (index === undefined) continue
      const task = this.#round!.tasks[index]!
      const ticket = ++this.#tickets
      Object.assign(this.#members[place]!, { state: 'busy', since: now, work: { ticket, index, task } })
      effects.push({ kind: 'assign', place, ticket, task })
    }
    return effects
  }

  #set(place: Place, state: Member<Task>['state'], now: number): void {
    Object.assign(this.#members[place]!, { state, since: now, work: undefined })
  }

  /** Opens a task again that somebody did not finish; gives up on one that nobody does. */
  #takeBack(work: Assignment<Task> | undefined, reason: string): CrewEffect<Task>[] | undefined {
    const round = this.#round
    if (work === undefined || round === undefined) return undefined
    round.open.unshift(work.index)
    round.falls[work.index]!++
    const falls = round.falls[work.index]!
    if (falls < this.#maxFalls) return undefined
    return this.#giveUp(`the same work failed ${falls} times in phase '${round.name}'; the last time: ${reason}`)
  }

  #giveUp(reason: string): CrewEffect<Task>[] {
    this.#gaveUp = true
    return [{ kind: 'gave-up', reason }]
  }
}
