// One line at the bottom of a terminal that is rewritten in place, with lines that stay above it. Nothing is hidden or
// saved on the terminal, so a process that is killed leaves nothing to restore.

/** Redraws faster than the eye reads only cost time. */
const MILLISECONDS_BETWEEN_DRAWS = 120
const ERASE_LINE = '\r\x1b[K'

export class StatusLine {
  readonly #stream: NodeJS.WriteStream
  #text = ''
  #drawn = -Infinity

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
  }

  /** Characters that fit. */
  get width(): number {
    return (this.#stream.columns || 80) - 1
  }

  /** Replaces the line. Drawn at once when enough time has passed, else with a later change. */
  set(text: string): void {
    this.#text = text.slice(0, this.width)
    if (performance.now() - this.#drawn >= MILLISECONDS_BETWEEN_DRAWS) this.#draw()
  }

  /** A line that stays, above this one. */
  above(text: string): void {
    this.#stream.write(`${ERASE_LINE}${text}\n`)
    this.#draw()
  }

  clear(): void {
    this.#text = ''
    this.#draw()
  }

  #draw(): void {
    this.#drawn = performance.now()
    this.#stream.write(ERASE_LINE + this.#text)
  }
}
