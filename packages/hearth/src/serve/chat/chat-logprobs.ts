// How likely tokens were, in the shape of /v1/chat/completions.
import type { Tokenizer } from '../../data/index.js'
import type { ScoredToken } from '../host/messages.js'

interface ChatToken {
  token: string
  logprob: number
  /** UTF-8 of the text; null where the token is a part of a character. */
  bytes: number[] | null
}

export interface ChatLogprobs {
  content: (ChatToken & { top_logprobs: ChatToken[] })[]
}

export function chatLogprobs(tokenizer: Tokenizer, tokens: readonly ScoredToken[], most: number): ChatLogprobs {
  const shown = (id: number, logprob: number): ChatToken => {
    const token = tokenizer.decode([id], { skipSpecialTokens: false })
    return { token, logprob, bytes: token.includes('\ufffd') ? null : [...Buffer.from(token)] }
  }
  return {
    content: tokens.map(({ token, logprob = 0, top = [] }) => ({
      ...shown(token, logprob),
      top_logprobs: top.slice(0, most).map((each) => shown(each.token, each.logprob)),
    })),
  }
}
