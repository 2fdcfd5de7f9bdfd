// How likely tokens were, in the shape of /v1/completions: four lists side by side. The tokens of an echoed prompt come
// first, and the very first of them has no probability.
import type { Tokenizer } from '../../data/index.js'
import type { ScoredToken } from '../host/messages.js'

export interface LegacyLogprobsBody {
  tokens: string[]
  token_logprobs: (number | null)[]
  top_logprobs: (Record<string, number> | null)[] | null
  text_offset: number[]
}

export class LegacyLogprobs {
  readonly #tokenizer: Tokenizer
  readonly #most: number
  #offset = 0
  #body: LegacyLogprobsBody

  /** @param most alternatives that are listed */
  constructor(tokenizer: Tokenizer, most: number) {
    this.#tokenizer = tokenizer
    this.#most = most
    this.#body = this.#empty()
  }

  add(tokens: readonly ScoredToken[]): void {
    for (const { token, logprob, top = [] } of tokens) {
      const text = this.#text(token)
      this.#body.tokens.push(text)
      this.#body.token_logprobs.push(logprob ?? null)
      this.#body.text_offset.push(this.#offset)
      this.#offset += text.length
      this.#body.top_logprobs?.push(logprob === undefined ? null : this.#alternatives(token, logprob, top))
    }
  }

  /** What was added since the last time. */
  take(): LegacyLogprobsBody {
    const body = this.#body
    this.#body = this.#empty()
    return body
  }

  #empty(): LegacyLogprobsBody {
    return { tokens: [], token_logprobs: [], top_logprobs: this.#most === 0 ? null : [], text_offset: [] }
  }

  /** The most likely ones; the token itself is not added, so that its being the first of them can be told. */
  #alternatives(token: number, logprob: number, top: NonNullable<ScoredToken['top']>): Record<string, number> {
    const listed: Record<string, number> = {}
    for (const { token: id, logprob: each } of top.slice(0, this.#most)) {
      // Two tokens may read the same: incomplete characters do.
      const text = this.#text(id)
      listed[Object.hasOwn(listed, text) ? `token_id:${id}` : text] = id === token ? logprob : each
    }
    return listed
  }

  #text(id: number): string {
    return this.#tokenizer.decode([id], { skipSpecialTokens: false })
  }
}
