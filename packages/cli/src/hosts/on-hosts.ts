// A run on several machines, as seen by the one who started it: `hearth member` on each, started again when it is lost, and
// what the leader reports. Nothing depends on this process: the machines finish the run without it too. Not here: what a
// member does (hearth/train, joinRun).
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { Host, Report, RunEvent, RunResult } from 'hearth/train'
import { CommandError, exitCodes } from '../failure.js'
import { lineOn } from './host-list.js'

export interface OnHostsOptions {
  hosts: readonly Host[]
  via: string | undefined
  workers: number
  minimumHosts: number
  port: number
  etcd: string | undefined
  signal: AbortSignal
  report: Report
}

/** What a member says, a line each. */
export type MemberLine = { kind: 'event'; leads: boolean; event: RunEvent } | { kind: 'result'; result: RunResult }

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url))
/** Lives of a member between two steps of the run. */
const MOST_LIVES = 4
const PAUSE_MILLISECONDS = 1000
const LAST_WORDS = 2000

interface Machine {
  host: Host
  process: ChildProcess | undefined
  /** Since the run last came further. */
  lives: number
  lastWords: string
}

/** Runs a member on each host until the run is done, or all of them have stopped. */
export async function onHosts(dir: string, options: OnHostsOptions): Promise<RunResult> {
  const cluster = new Cluster(dir, options)
  return await cluster.run()
}

class Cluster {
  readonly #dir: string
  readonly #options: OnHostsOptions
  readonly #machines: Machine[]
  // On a command line every user of a machine could read it.
  readonly #secret = randomBytes(32).toString('hex')
  #result: RunResult | undefined
  #step = 0

  constructor(dir: string, options: OnHostsOptions) {
    this.#dir = dir
    this.#options = options
    this.#machines = options.hosts.map((host) => ({ host, process: undefined, lives: 0, lastWords: '' }))
  }

  async run(): Promise<RunResult> {
    const { signal } = this.#options
    const stop = () => this.#machines.forEach(({ process }) => process?.stdin?.write('stop\n'))
    signal.addEventListener('abort', stop, { once: true })
    const ends = await Promise.all(this.#machines.map((machine) => this.#keep(machine)))
    signal.removeEventListener('abort', stop)
    if (this.#result) return this.#result
    const words = this.#machines.map(({ host, lastWords }, i) => `${host.name} (${ends[i]}): ${lastWords.trim()}`)
    throw new CommandError(`no machine brought the run to its end:\n  ${words.join('\n  ')}`)
  }

  /** Has a member there, again and again while others may need it; returns how the last one ended. */
  async #keep(machine: Machine): Promise<string> {
    for (;;) {
      machine.lives++
      const end = await this.#live(machine)
      const isOver =
        end === '0' || end === String(exitCodes.requeue) || this.#result !== undefined || this.#options.signal.aborted
      if (isOver || end === String(exitCodes.refused) || machine.lives >= MOST_LIVES) return end
      const message = `${machine.host.name} is lost (${end}); it is started again`
      this.#options.report({ kind: 'warning', message })
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS))
    }
  }

  #live(machine: Machine): Promise<string> {
    const { hosts, via, workers, minimumHosts, port, etcd } = this.#options
    const words = [process.execPath, MAIN, 'member', this.#dir, '--self', machine.host.name]
    words.push('--hosts', hosts.map(({ name, address }) => `${name}=${address}`).join(','))
    words.push('--workers', String(workers), '--min-hosts', String(minimumHosts), '--port', String(port))
    if (etcd !== undefined) words.push('--etcd', etcd)
    const [program, ...rest] = lineOn(machine.host, words, via)
    // In a group of its own: Ctrl+C is passed on as a wish to stop, once, by this process.
    const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
    machine.process = child
    child.stdin.on('error', () => undefined)
    child.stdin.write(`${this.#secret}\n`)
    let kept = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (kept + text).split('\n')
      kept = lines.pop()!
      lines.forEach((line) => this.#hear(line))
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      machine.lastWords = (machine.lastWords + text).slice(-LAST_WORDS)
    })
    return new Promise((resolve) => {
      child.on('error', (error) => resolve(error.message))
      child.on('close', (code, signal) => resolve(String(signal ?? code)))
    })
  }

  #hear(line: string): void {
    if (!line.startsWith('{')) return
    const said = JSON.parse(line) as MemberLine
    if (said.kind === 'result') {
      // That of the one who wrote the model, where there is one.
      if (this.#result?.model === undefined) this.#result = said.result
      return
    }
    const { event, leads } = said
    if (event.kind === 'step' && event.step.number > this.#step) {
      this.#step = event.step.number
      for (const machine of this.#machines) machine.lives = Math.min(machine.lives, 1)
    }
    if (leads || event.kind === 'trouble') this.#options.report(event)
  }
}
