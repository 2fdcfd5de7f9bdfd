/**
 * Finds the added tokens of a tokenizer in a text, leftmost and longest first: those that match the text as given, then
 * those that match its normalised form. What lies between is for the model to encode.
 */
import type { AddedToken } from './definition.js'

/** Splits text at added tokens. */
export class AddedTokenSplitter {
  readonly #normalize: (text: string) => string
  readonly #passes: { raw: Matcher; rawOrdinary: Matcher; normalized: Matcher; normalizedOrdinary: Matcher }

  constructor(tokens: readonly AddedToken[], normalize: (text: string) => string) {
    this.#normalize = normalize
    const raw = tokens.filter((token) => !token.normalized)
    const normalized = tokens.filter((token) => token.normalized)
    this.#passes = {
      raw: new Matcher(raw),
      rawOrdinary: new Matcher(raw.filter((token) => !token.special)),
      normalized: new Matcher(normalized),
      normalizedOrdinary: new Matcher(normalized.filter((token) => !token.special)),
    }
  }

  /** Pieces in order: ids of added tokens, and normalised text to encode. */
  *split(text: string, recognizeSpecialTokens: boolean): Generator<number | string> {
    const { raw, rawOrdinary, normalized, normalizedOrdinary } = this.#passes
    const first = recognizeSpecialTokens ? raw : rawOrdinary
    const second = recognizeSpecialTokens ? normalized : normalizedOrdinary
    for (const piece of first.split(text)) {
      if (typeof piece === 'number') yield piece
      else yield* second.split(this.#normalize(piece))
    }
  }
}

class Matcher {
  readonly #pattern: RegExp | undefined
  readonly #ids: ReadonlyMap<string, number>

  constructor(tokens: readonly AddedToken[]) {
    this.#ids = new Map(tokens.map((token) => [token.content, token.id]))
    const longestFirst = [...this.#ids.keys()].sort((a, b) => b.length - a.length)
    const escaped = longestFirst.map((content) => content.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'))
    this.#pattern = escaped.length === 0 ? undefined : new RegExp(escaped.join('|'), 'g')
  }

  *split(text: string): Generator<number | string> {
    let at = 0
    if (this.#pattern !== undefined) {
      for (const match of text.matchAll(this.#pattern)) {
        if (match.index > at) yield text.slice(at, match.index)
        yield this.#ids.get(match[0])!
        at = match.index + match[0].length
      }
    }
    if (at < text.length) yield at === 0 ? text : text.slice(at)
  }
}
