// The examination of all hosts of a run before any work is given to them: a probe on each (probe.ts) says what is there and
// measures its way to every other. Not here: what of it is bad (hosts-advice.ts).
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Host } from 'hearth/train'
import { lineOn } from './host-list.js'
import type { Link } from './link.js'
import type { Answer, Facts, Question } from './probe.js'

export interface ExamineOptions {
  hosts: readonly Host[]
  via: string | undefined
  port: number
  etcd: readonly string[]
  /** A folder that all hosts are to see. */
  folder: string
  /** A run whose configuration all hosts are to see; its folder. */
  run: string | undefined
  onProgress?: (what: string) => void
}

export interface Clock {
  /** By how much it is ahead of this machine's, and how far that may be from the truth. */
  seconds: number
  within: number
}

export interface ExaminedHost {
  host: Host
  /** Why nothing is known of it. */
  unreachable?: string
  facts?: Facts
  clock?: Clock
  /** Why it does not share the folder. */
  storage?: string
}

export interface ExaminedLink {
  from: string
  to: string
  link?: Link
  /** Why there is none. */
  broken?: string
}

export interface HostsExamination {
  folder: string
  hosts: ExaminedHost[]
  links: ExaminedLink[]
}

const PROBE = fileURLToPath(new URL('probe.js', import.meta.url))
const ANSWER_SECONDS = 30
const LAST_WORDS = 500
const TIMES_ASKED = 5
/** Other hosts may see a file only after a while (NFS). */
const STORAGE_SECONDS = 5

/** A probe on one host: questions and answers in their order. */
class Probe {
  readonly #process: ChildProcess
  readonly #answers: AsyncIterator<string, undefined>
  #lastWords = ''

  constructor(host: Host, via: string | undefined) {
    const [program, ...rest] = lineOn(host, [process.execPath, PROBE], via)
    const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#process = child
    child.stdin.on('error', () => undefined)
    child.on('error', (error) => {
      this.#lastWords = error.message
      child.stdout.destroy()
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS)
    })
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  }

  /** @throws Error with the last words of a probe that is gone, and the reason of one that failed */
  async ask<Q extends Question>(question: Q): Promise<Extract<Answer, { kind: Q['kind'] }>> {
    this.#process.stdin!.write(`${JSON.stringify(question)}\n`)
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), ANSWER_SECONDS * 1000)
    // What is no answer is what shells say when they start.
    for (;;) {
      const { done, value }: IteratorResult<string, undefined> = await this.#answers
        .next()
        .finally(() => clearTimeout(timer))
      if (done) throw new Error(await this.#end())
      if (!value.startsWith('{')) continue
      const answer = JSON.parse(value) as Answer
      if (answer.kind === 'failed') throw new Error(answer.reason)
      return answer as Extract<Answer, { kind: Q['kind'] }>
    }
  }

  close(): void {
    this.#process.stdin!.end()
  }

  async #end(): Promise<string> {
    // Its last words may come after its last answer.
    if (this.#process.exitCode === null && this.#process.signalCode === null) await sleep(200)
    const { exitCode, signalCode } = this.#process
    const how =
      signalCode === 'SIGKILL' ? `no answer within ${ANSWER_SECONDS} s` : `it ended with ${exitCode ?? signalCode}`
    return this.#lastWords.trim() || how
  }
}

interface Examined extends ExaminedHost {
  probe: Probe
}

/** Looks at every host, at every way between two of them, and at the folder that they are to share. */
export async function examineHosts(options: ExamineOptions): Promise<HostsExamination> {
  const { hosts, via, folder, onProgress = () => undefined } = options
  const secret = randomBytes(32).toString('hex')
  const all: Examined[] = hosts.map((host) => ({ host, probe: new Probe(host, via) }))
  try {
    onProgress('starting a probe on each host')
    await Promise.all(all.map((each) => meet(each, options, secret)))
    const there = all.filter(({ facts }) => facts !== undefined)
    const links = await measureAll(there, onProgress)
    onProgress('looking for the folder that all share')
    await checkStorage(there, folder)
    return { folder, hosts: all.map(({ probe: _, ...rest }) => rest), links }
  } finally {
    for (const { probe } of all) probe.close()
  }
}

async function meet(each: Examined, { port, folder, run, etcd }: ExamineOptions, secret: string): Promise<void> {
  const { host, probe } = each
  const question = { kind: 'begin', address: host.address, port, secret, folder, etcd: [...etcd] } as const
  try {
    const { facts } = await probe.ask({ ...question, ...(run !== undefined && { run }) })
    each.facts = facts
    each.clock = await clockOf(probe)
  } catch (error) {
    each.unreachable = (error as Error).message
  }
}

/** By the quickest of some answers (RFC 5905, section 8). */
async function clockOf(probe: Probe): Promise<Clock> {
  let best: Clock = { seconds: 0, within: Infinity }
  for (let i = 0; i < TIMES_ASKED; i++) {
    const asked = Date.now()
    const { now } = await probe.ask({ kind: 'time' })
    const within = (Date.now() - asked) / 2000
    if (within < best.within) best = { seconds: now / 1000 - asked / 1000 - within, within }
  }
  return best
}

/** In rounds, in each of which every host sends to one and hears from one. */
async function measureAll(hosts: readonly Examined[], onProgress: (what: string) => void): Promise<ExaminedLink[]> {
  const links: ExaminedLink[] = []
  for (let away = 1; away < hosts.length; away++) {
    onProgress(`measuring links, round ${away} of ${hosts.length - 1}`)
    const round = hosts.map(async ({ host: { name: from }, probe }, i): Promise<ExaminedLink[]> => {
      const { host, facts } = hosts[(i + away) % hosts.length]!
      const [to, at] = [host.name, facts!.link]
      // Why it cannot be met there is among its own problems.
      if (at === undefined) return []
      try {
        return [{ from, to, link: (await probe.ask({ kind: 'link', to: at })).link }]
      } catch (error) {
        return [{ from, to, broken: (error as Error).message }]
      }
    })
    links.push(...(await Promise.all(round)).flat())
  }
  return links
}

async function checkStorage(hosts: readonly Examined[], folder: string): Promise<void> {
  const content = randomBytes(16).toString('hex')
  const shared = join(folder, `.hearth-doctor-${content}`)
  const ownOf = ({ host }: Examined) => `${shared}-${host.name}`
  writeFileSync(shared, content)
  try {
    await Promise.all(
      hosts.map(async (each) => {
        const question = { kind: 'storage', shared, content, own: ownOf(each) } as const
        for (const until = Date.now() + STORAGE_SECONDS * 1000; ;) {
          const { problem } = await each.probe.ask(question)
          const missing = existsSync(ownOf(each)) ? undefined : 'what it writes there is not seen here'
          each.storage = problem ?? missing ?? ''
          if (each.storage === '' || Date.now() > until) return
          await sleep(500)
        }
      }),
    )
  } finally {
    for (const file of [shared, ...hosts.map(ownOf)]) rmSync(file, { force: true })
  }
}
