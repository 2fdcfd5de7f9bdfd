// Tokens that a request cost, in OpenAI's shape.
import type { TextEnding } from '../text-pieces.js'

export interface Usage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  prompt_tokens_details: { cached_tokens: number }
}

/**
 * @param promptTokens of each prompt, once however many texts were made of it
 */
export function usageOf(promptTokens: readonly number[], endings: readonly TextEnding[]): Usage {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
  const prompt = sum(promptTokens)
  const written = sum(endings.map(({ tokens }) => tokens))
  const cached = Math.min(prompt, sum(endings.map(({ cachedTokens }) => cachedTokens)))
  return {
    prompt_tokens: prompt,
    completion_tokens: written,
    total_tokens: prompt + written,
    prompt_tokens_details: { cached_tokens: cached },
  }
}
