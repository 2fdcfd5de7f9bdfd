// How the answer of a chat template ends: with a special token where the tokenizer has it, else with words, so that a model
// that was never taught to stop does not go on to write the user's next turn.
import type { ChatTemplate, Tokenizer } from '../../data/index.js'

/** What ends an answer besides the model's own end-of-text tokens. */
export interface TurnEnds {
  tokens: readonly number[]
  texts: readonly string[]
}

const ANSWER = 'hearthAnswer'
const NEXT = 'hearthNext'

/**
 * Reads from a template what stands between an answer and the user's next turn.
 * @returns nothing where the template does not render such a conversation
 */
export function turnEnds(template: ChatTemplate, tokenizer: Tokenizer): TurnEnds {
  const between = textBetween(template)
  if (between === undefined) return { tokens: [], texts: [] }
  const [first] = tokenizer.encode(between.trimStart(), { addSpecialTokens: false })
  const special = first !== undefined && tokenizer.isSpecial(first) ? first : undefined
  const words = special === undefined ? between : between.trimStart().slice(tokenizer.token(special)!.length)
  return { tokens: special === undefined ? [] : [special], texts: [...stopText(words)] }
}

function textBetween(template: ChatTemplate): string | undefined {
  const messages = [
    { role: 'user', content: 'hearthQuestion' },
    { role: 'assistant', content: ANSWER },
    { role: 'user', content: NEXT },
  ]
  try {
    const [, after] = template.render(messages).split(ANSWER)
    return after?.split(NEXT)[0]
  } catch {
    return undefined // it refuses these messages: the end-of-text tokens are all there is
  }
}

/** The mark of the next turn: one line of it, without the space before what the user says. */
function stopText(words: string): readonly string[] {
  const mark = /^\s*\S[^\n]*/.exec(words)?.[0].trimEnd()
  return mark === undefined || mark.trim().length < 3 ? [] : [mark]
}
