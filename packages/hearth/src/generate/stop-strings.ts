// Stop strings in text that comes in pieces: a stop string may begin in one piece and end in another, so text that could
// be its beginning is held back until it is clear what it is.

/**
 * @example
 * const stops = new StopStrings(['\nUser:'])
 * stops.push('Yes.\nUs') // 'Yes.'
 * stops.push('er: and') // '', and stops.found is '\nUser:'
 */
export class StopStrings {
  readonly #stops: readonly string[]
  #held = ''
  #found: string | undefined

  constructor(stops: readonly string[]) {
    this.#stops = stops
  }

  /** The stop string that came first in the text, once there is one. */
  get found(): string | undefined {
    return this.#found
  }

  /** Takes the next piece; returns the text that is certainly before any stop string. Nothing after one is found. */
  push(piece: string): string {
    if (this.#found !== undefined) return ''
    const text = this.#held + piece
    const at = this.#firstIn(text)
    if (at >= 0) {
      this.#held = ''
      return text.slice(0, at)
    }
    const safe = text.length - this.#beginningAtEndOf(text)
    this.#held = text.slice(safe)
    return text.slice(0, safe)
  }

  /** The text that was held back, when no more will come. */
  end(): string {
    const held = this.#held
    this.#held = ''
    return held
  }

  /** Where the earliest stop string begins, which becomes `found`; -1 when there is none. */
  #firstIn(text: string): number {
    let first = -1
    for (const stop of this.#stops) {
      const at = text.indexOf(stop)
      if (at < 0 || (first >= 0 && at >= first)) continue
      first = at
      this.#found = stop
    }
    return first
  }

  /** Length of the longest end of the text with which a stop string begins. */
  #beginningAtEndOf(text: string): number {
    let longest = 0
    for (const stop of this.#stops)
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--)
        if (stop.startsWith(text.slice(text.length - length))) longest = length
    return longest
  }
}
