// Checks that are made before work starts, and reported together: nobody should mend one mistake to be told the next.
import { HearthError } from '@hearth/torch'

/**
 * Runs every check.
 * @returns what they return
 * @throws HearthError with the messages of all that failed; anything that is no HearthError is thrown as it is
 */
export async function allOrMistakes<Checks extends readonly (() => unknown)[]>(
  checks: Checks,
): Promise<{ -readonly [i in keyof Checks]: Awaited<ReturnType<Checks[i]>> }> {
  const results = await Promise.allSettled(checks.map((check) => Promise.resolve().then(check)))
  const mistakes = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as Error] : []))
  const unexpected = mistakes.find((mistake) => !(mistake instanceof HearthError))
  if (unexpected) throw unexpected
  // Two checks may find the same.
  const messages = [...new Set(mistakes.map(({ message }) => message))]
  if (messages.length > 1) throw new HearthError(messages.join('\n'))
  if (mistakes.length > 0) throw mistakes[0]!
  const values = results.map((result) => (result.status === 'fulfilled' ? result.value : undefined))
  return values as { -readonly [i in keyof Checks]: Awaited<ReturnType<Checks[i]>> }
}
