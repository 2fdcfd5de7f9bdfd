// From tokens to what a client is sent: pieces of text in whole characters that never show a stop string, each with the
// tokens that it is made of. A token goes out with the piece that its first character is in.
import type { StreamDecoder, Tokenizer } from '../data/index.js'
import { StopStrings } from '../generate/index.js'
import type { HostEnding, ScoredToken } from './host/messages.js'
import type { HostPiece } from './host/model-host.js'

/** A token as a client sees it. */
export interface ShownToken extends ScoredToken {
  /** Where its text begins, in UTF-16 units of the generated text. */
  offset: number
}

export interface TextPiece {
  text: string
  tokens: readonly ShownToken[]
}

/** How a text ended, in OpenAI's words. */
export interface TextEnding {
  finishReason: 'stop' | 'length'
  promptTokens: number
  /** Tokens that were generated, also those that no client saw. */
  tokens: number
  cachedTokens: number
}

export interface TextOptions {
  stop: readonly string[]
  /** Special tokens are text too: some mark calls of tools. */
  showSpecial?: boolean
  /** Receives the scores of the prompt. */
  onPrompt?: (tokens: readonly ScoredToken[]) => void
  /** Called for each batch of tokens, for measurements. */
  onTokens?: (count: number) => void
}

/** @param source what ModelHost.generate() gives */
export async function* textPieces(
  source: AsyncGenerator<HostPiece, HostEnding, void>,
  tokenizer: Pick<Tokenizer, 'streamDecoder'>,
  { stop, showSpecial = false, onPrompt, onTokens }: TextOptions,
): AsyncGenerator<TextPiece, TextEnding, void> {
  const text = new PiecedText(tokenizer.streamDecoder({ skipSpecialTokens: !showSpecial }), stop)
  let promptTokens = 0
  const cut = (): HostEnding => ({ reason: 'stop', promptTokens, cachedTokens: 0, tokens: text.count })
  try {
    for (;;) {
      const next = await source.next()
      const piece = next.done ? text.end() : next.value.kind === 'tokens' ? text.push(next.value.tokens) : undefined
      if (piece !== undefined) yield piece
      if (next.done) return endingOf(next.value)
      if (text.stopped) return endingOf(cut())
      const { kind, tokens } = next.value
      if (kind === 'tokens') onTokens?.(tokens.length)
      else {
        onPrompt?.(tokens)
        promptTokens = tokens.length
      }
    }
  } finally {
    // Frees its place in the model when the text ended before the tokens did, or when the client left.
    await source.return(cut())
  }
}

/** Tokens that are not shown yet, and what may be shown of them. */
class PiecedText {
  readonly #decoder: StreamDecoder
  readonly #stops: StopStrings
  #waiting: ShownToken[] = []
  #made = 0
  #shown = 0
  #count = 0

  constructor(decoder: StreamDecoder, stop: readonly string[]) {
    this.#decoder = decoder
    this.#stops = new StopStrings(stop)
  }

  /** Tokens taken. */
  get count(): number {
    return this.#count
  }

  get stopped(): boolean {
    return this.#stops.found !== undefined
  }

  push(tokens: readonly ScoredToken[]): TextPiece | undefined {
    let text = ''
    for (const token of tokens) {
      if (this.stopped) break
      this.#count++
      const added = this.#decoder.push(token.token)
      this.#waiting.push({ ...token, offset: this.#made })
      this.#made += added.length
      text += this.#stops.push(added)
    }
    return text === '' ? undefined : this.#piece(text)
  }

  end(): TextPiece | undefined {
    const text = this.#stops.push(this.#decoder.end()) + this.#stops.end()
    return text === '' && this.#waiting.length === 0 ? undefined : this.#piece(text)
  }

  #piece(text: string): TextPiece {
    this.#shown += text.length
    // After a stop string nothing is shown; a token that ends in it was begun before.
    const tokens = this.stopped ? this.#waiting.filter(({ offset }) => offset < this.#shown) : this.#waiting
    this.#waiting = []
    return { text, tokens }
  }
}

const endingOf = ({ reason, promptTokens, tokens, cachedTokens }: HostEnding): TextEnding => ({
  finishReason: reason === 'stop' ? 'stop' : 'length',
  promptTokens,
  tokens,
  cachedTokens,
})
