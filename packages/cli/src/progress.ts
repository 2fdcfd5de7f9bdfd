// What a person sees of a run while it works, on stderr: on a terminal one line that is rewritten, elsewhere (a log, a
// pipe) a plain line every few seconds. What is worth keeping (measurements, samples, warnings) stays above it.
import type { RunEvent } from 'hearth/train'
import { shortPath } from './command-line.js'
import { formatBytes, formatCount, formatDuration } from './format.js'
import { StatusLine } from './status-line.js'
import { withoutControls, type Terminal } from './terminal.js'
import { troubleLine } from './trouble-lines.js'

type StepEvent = Extract<RunEvent, { kind: 'step' }>
type ChangeEvent = Extract<RunEvent, { kind: 'change' }>
type PhaseEvent = Extract<RunEvent, { kind: 'phase' }>
type TroubleEvent = Extract<RunEvent, { kind: 'trouble' }>

const PHASES: Record<PhaseEvent['phase'], string> = {
  data: 'Reading the data',
  tokenizer: 'Training the tokenizer',
  tokens: 'Writing tokens',
  fetching: 'Bringing back a copy',
  model: 'Building the model',
  training: 'Training',
  evaluating: 'Measuring on held-out text',
  checkpoint: 'Saving a checkpoint',
  copying: 'Copying the checkpoint',
  export: 'Writing the model',
}
const SECONDS_BETWEEN_LINES = 5
const BAR_SIZE = 18
const SHORT_BAR_SIZE = 8
/** Where the short bar leaves more room for figures. */
const NARROW = 64

/** Shows the events of one run. */
export class Progress {
  readonly #terminal: Terminal
  readonly #status: StatusLine | undefined
  readonly #pace = new Pace()
  #lastLine = -Infinity
  #phase: string | undefined
  #bitsPerByte: number | undefined
  #measured: string | undefined

  constructor(terminal: Terminal) {
    this.#terminal = terminal
    this.#status = terminal.interactive ? new StatusLine(process.stderr) : undefined
  }

  /** Shows one event. */
  readonly report = (event: RunEvent): void => {
    switch (event.kind) {
      case 'phase':
        this.#showPhase(event)
        break
      case 'step':
        this.#showStep(event)
        break
      case 'evaluation':
        this.#bitsPerByte = event.heldOut.bitsPerByte
        this.#showMeasured(event.step, event.heldOut.loss)
        break
      case 'sample':
        this.note(`  step ${event.step} writes: ${this.#terminal.noteColors.dim(oneLine(event.text))}`)
        break
      case 'restored':
        this.note(`Going on after step ${event.step}, from ${shortPath(event.path)}`)
        break
      case 'checkpoint':
        if (this.#status === undefined)
          this.note(`  step ${event.step}: saved ${shortPath(event.path)} in ${event.seconds.toFixed(1)} s`)
        break
      case 'copied':
        if (this.#status === undefined)
          this.note(`  step ${event.step}: copied to ${event.to} in ${event.seconds.toFixed(1)} s`)
        break
      case 'fetched':
        this.note(`Brought back step ${event.step}, from ${event.from}`)
        break
      case 'change':
        for (const line of changeLines(event)) this.note(line)
        break
      case 'trouble':
        this.#showTrouble(event.event)
        break
      case 'warning':
        this.note(`${this.#terminal.noteColors.yellow('warning:')} ${event.message}`)
        break
    }
  }

  /** A line that stays, above the one that is rewritten. */
  note(text: string): void {
    if (this.#status) this.#status.above(text)
    else this.#terminal.note(text)
  }

  /** Takes the rewritten line away. */
  close(): void {
    this.#status?.clear()
  }

  /** The last step may be measured twice, the second time on all of the text: the same figures are shown once. */
  #showMeasured(step: number, loss: number): void {
    const line = `  step ${step}: held-out loss ${loss.toFixed(3)}${bitsText(this.#bitsPerByte)}`
    if (line !== this.#measured) this.note(line)
    this.#measured = line
  }

  #showPhase({ phase, detail, done, of }: PhaseEvent): void {
    const name = PHASES[phase]
    const part = done !== undefined && of ? done / of : undefined
    const changed = this.#phase !== name
    this.#phase = name
    if (this.#status) {
      const { width } = this.#status
      const parts = [part === undefined ? undefined : percent(part), detail].filter((text) => text !== undefined)
      const head = part === undefined || width < NARROW ? name : `${name}  ${bar(part, width)}`
      this.#status.set(fitting(`${head}  `, parts, width))
    } else if (phase !== 'checkpoint' && (changed || this.#due()))
      this.#print(detail === undefined ? name : `${name}: ${detail}`, part)
  }

  #showStep(event: StepEvent): void {
    const left = this.#pace.remaining(event)
    const first = this.#phase !== PHASES.training
    this.#phase = PHASES.training
    const { number, loss } = event.step
    const parts = [
      `${number}/${event.of}`,
      `loss ${loss.toFixed(3)}`,
      `${formatDuration(left)} left`,
      `${formatCount(event.tokensPerSecond)} tok/s`,
      this.#bitsPerByte === undefined ? undefined : `${this.#bitsPerByte.toFixed(3)} bits/byte`,
      `${percent(event.modelFlopUtilisation)} MFU`,
      formatBytes(event.memoryBytes),
    ].filter((part) => part !== undefined)
    if (this.#status)
      this.#status.set(fitting(`Training  ${bar(number / event.of, this.#status.width)}  `, parts, this.#status.width))
    else if (first || this.#due() || number === event.of) this.#print(parts.join('  '))
  }

  /** What a person should know; events.jsonl has everything. */
  #showTrouble(event: TroubleEvent['event']): void {
    const line = troubleLine(event)
    if (line === undefined) return
    const about = event.kind === 'refused' || event.kind === 'rewound' ? 'numbers:' : 'workers:'
    this.note(`${this.#terminal.noteColors.yellow(about)} ${line}`)
  }

  #due(): boolean {
    return performance.now() - this.#lastLine > SECONDS_BETWEEN_LINES * 1000
  }

  #print(text: string, part?: number): void {
    this.#lastLine = performance.now()
    this.#terminal.note(part === undefined ? text : `${text} ${percent(part)}`)
  }
}

/** Time that is left, from a running mean over the last steps. */
class Pace {
  #seconds: number | undefined

  remaining({ step, of }: StepEvent): number {
    this.#seconds = this.#seconds === undefined ? step.seconds : this.#seconds + 0.05 * (step.seconds - this.#seconds)
    return this.#seconds * (of - step.number)
  }
}

const percent = (part: number): string => `${(100 * part).toFixed(0)}%`

/** What changed in a run that goes on, and what follows from it. */
function changeLines({ change: { step, from, to }, learningRates: [before, after] }: ChangeEvent): string[] {
  const paths = [...new Set([...Object.keys(from), ...Object.keys(to)])]
  const show = (value: unknown) => (value === undefined ? 'default' : JSON.stringify(value))
  const lines = paths.map((path) => `Changed after step ${step}: ${path} ${show(from[path])} → ${show(to[path])}`)
  if (before === after) return lines
  return [
    ...lines,
    `  the learning rate of the next step becomes ${after.toPrecision(3)}; it was to be ${before.toPrecision(3)}`,
  ]
}

const oneLine = (text: string): string => withoutControls(text).replace(/\s+/g, ' ').trim()
const bitsText = (bits: number | undefined): string => (bits === undefined ? '' : `, ${bits.toFixed(3)} bits per byte`)

function bar(part: number, width: number): string {
  const size = width < NARROW ? SHORT_BAR_SIZE : BAR_SIZE
  const full = Math.round(size * Math.min(1, part))
  return '█'.repeat(full) + '░'.repeat(size - full)
}

/** As many of the parts as the terminal is wide enough for; the first ones matter most. */
function fitting(head: string, parts: readonly string[], width: number): string {
  return parts.reduce((line, part) => (line.length + part.length > width ? line : `${line}${part}  `), head).trimEnd()
}
