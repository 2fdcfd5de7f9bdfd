// Processes that act as one: all ranks get the same command, and none can go on without the others. When one is lost, the
// others hear of it in the collective that they are in; another process takes its place, the group forms anew, and the
// command is given again. Not here: what a command does, and how often it may be done (hearth/train).
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { HearthError, RendezvousServer } from '@hearth/torch'
import { Deadlines, type DeadlineOptions } from '../deadlines.js'
import type { InjectedFault } from '../messages.js'
import { CrewError, type CrewEvent } from '../supervisor.js'
import { RankProcess, type RankAnswer } from './rank-process.js'

export interface RankGroupOptions {
  size: number
  /** The module that a rank runs; it calls serveRank(). */
  entry: string
  /** Handed to a rank when it starts. */
  job: (rank: number) => unknown
  env?: NodeJS.ProcessEnv
  /** A rank that keeps the others waiting for longer in one operation counts as hung. @default 120 */
  timeoutSeconds?: number
  /** Of phases that are timed: one that is seen for the first time has none but the one above. */
  deadlines?: DeadlineOptions
  /** Ranks that one command may cost. @default 5 */
  maxFalls?: number
  /** Told of every process that is started. */
  onLaunch?: (pid: number) => void
  onEvent?: (event: CrewEvent) => void
}

const TIMEOUT_SECONDS = 120
const MAX_FALLS = 5
/** What a rank that others wait for has to show that it lives. */
const GRACE_MILLISECONDS = 2000

export class RankGroup {
  readonly #options: RankGroupOptions
  readonly #server: RendezvousServer
  readonly #secret: string
  readonly #deadlines: Deadlines
  #ranks: RankProcess[] = []
  #generation = 0
  #isFormed = false
  #falls = 0
  #isStopping = false

  private constructor(options: RankGroupOptions, server: RendezvousServer, secret: string) {
    this.#options = options
    this.#server = server
    this.#secret = secret
    this.#deadlines = new Deadlines({ firstSeconds: Infinity, ...options.deadlines })
  }

  /**
   * Starts the ranks and waits until they have formed a group.
   * @throws CrewError when they cannot
   */
  static async start(options: RankGroupOptions): Promise<RankGroup> {
    const secret = randomBytes(32).toString('hex')
    const made = new RankGroup(options, await RendezvousServer.listen({ secret }), secret)
    try {
      await made.#form()
      return made
    } catch (error) {
      await made.stop()
      throw error
    }
  }

  get processes(): { rank: number; pid: number }[] {
    return this.#ranks.map(({ rank, pid }) => ({ rank, pid }))
  }

  /**
   * Has all ranks do something together, again and again while ranks are lost in it.
   * @param phase names work that takes as long each time: ranks that take much longer than usual for it count as hung
   * @returns their answers, by rank
   * @throws CrewError when the same command costs too many ranks; HearthError when a rank cannot do it
   */
  async run(command: unknown, phase?: string): Promise<unknown[]> {
    this.#falls = 0
    for (;;) {
      if (!this.#isFormed) await this.#form()
      const started = performance.now()
      const answers = this.#all((rank) => rank.ask((ticket) => ({ kind: 'command', ticket, command })))
      const watch = phase === undefined ? undefined : this.#watch(phase)
      const results = await answers.finally(() => clearTimeout(watch))
      if (results === undefined) continue
      if (phase !== undefined) this.#deadlines.learn(phase, (performance.now() - started) / 1000)
      return results
    }
  }

  /** Has those that are late give up what they wait for, so that one which stands still is known by its silence. */
  #watch(phase: string): NodeJS.Timeout | undefined {
    // After a fall that no hung rank explains, the machine may be busy.
    const seconds = this.#deadlines.of(phase) * 2 ** this.#falls
    if (!Number.isFinite(seconds)) return undefined
    const reason = `${phase} takes longer than ${seconds.toFixed(1)} s`
    return setTimeout(() => {
      const late = this.#ranks.filter((rank) => rank.isBusy)
      for (const rank of late) rank.tell({ kind: 'abort', reason })
      void this.#endTheHung(late, reason)
    }, seconds * 1000)
  }

  /** Has a rank have a fault: for drills. */
  inject(rank: number, fault: InjectedFault): void {
    this.#ranks[rank]?.tell({ kind: 'fault', fault })
  }

  /** Ends all ranks; resolves when they are gone. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#server.close()
    for (const rank of this.#ranks) rank.kill('stopped')
    while (this.#ranks.some(({ isLost }) => !isLost)) await sleep(5)
  }

  /** Processes for all ranks that have none, and then a group of all. */
  async #form(): Promise<void> {
    for (;;) {
      for (let rank = 0; rank < this.#options.size; rank++)
        if (this.#ranks[rank]?.isLost !== false) this.#ranks[rank] = this.#launch(rank)
      const ready = await Promise.all(this.#ranks.map((rank) => rank.ready))
      if (ready.includes(false)) {
        this.#fall(`rank ${ready.indexOf(false)} did not start`)
        continue
      }
      const { size, timeoutSeconds = TIMEOUT_SECONDS } = this.#options
      const store = { host: '127.0.0.1', port: this.#server.port, secret: this.#secret }
      const meeting = { store, size, timeoutSeconds, generation: ++this.#generation }
      const joined = await this.#all((rank) => rank.ask((ticket) => ({ kind: 'join', ticket, ...meeting })))
      if (joined === undefined) continue
      this.#isFormed = true
      return
    }
  }

  #launch(rank: number): RankProcess {
    const { entry, job, env, onLaunch, onEvent } = this.#options
    const made = new RankProcess({
      ...{ rank, entry, env, job: job(rank) },
      onLost: (reason) => {
        this.#isFormed = false
        if (!this.#isStopping) onEvent?.({ kind: 'lost', place: rank, pid: made.pid, reason })
      },
    })
    onLaunch?.(made.pid)
    const started = () => ({ place: rank, pid: made.pid, seconds: (performance.now() - made.started) / 1000 })
    void made.ready.then((ready) => ready && onEvent?.({ kind: 'started', ...started() }))
    return made
  }

  /** The answers of all ranks; undefined when the group broke. */
  async #all(ask: (rank: RankProcess) => Promise<RankAnswer>): Promise<unknown[] | undefined> {
    const answers = await Promise.all(
      this.#ranks.map(async (rank) => {
        const answer = await ask(rank)
        if (answer.kind === 'broken') {
          const suspects = answer.peers.map((peer) => this.#ranks[peer]!)
          void this.#endTheHung(suspects, answer.message)
        }
        return answer
      }),
    )
    const failed = answers.find((answer) => answer.kind === 'failed')
    this.#isFormed = this.#isFormed && answers.every(({ kind }) => kind === 'done')
    if (failed) throw new HearthError(failed.message, { remedy: GO_ON })
    const done = answers.flatMap((answer) => (answer.kind === 'done' ? [answer.result] : []))
    if (done.length === answers.length) return done
    const lost = answers.findIndex(({ kind }) => kind === 'lost')
    const broken = answers.find((answer) => answer.kind === 'broken')
    this.#fall(lost >= 0 ? `rank ${lost} was lost` : broken!.message)
    return undefined
  }

  /** Ranks that others waited for in vain, and that still do not answer. */
  async #endTheHung(suspects: readonly RankProcess[], message: string): Promise<void> {
    // By then they may be at something else.
    const asked = suspects.map((rank) => ({ rank, ticket: rank.ticket }))
    await sleep(GRACE_MILLISECONDS, undefined, { ref: false })
    for (const { rank, ticket } of asked)
      if (!rank.isLost && rank.isBusyWith(ticket)) rank.kill(`it kept the others waiting: ${message}`)
  }

  #fall(reason: string): void {
    const { maxFalls = MAX_FALLS } = this.#options
    if (this.#isStopping) throw new CrewError('it was stopped')
    if (++this.#falls > maxFalls) throw new CrewError(`${reason}; the same work has cost ${maxFalls} ranks before`)
  }
}

const GO_ON = 'everything up to the last step is kept; mend that, then resume the run'
