// Checks that are made before work starts, and reported together: nobody should mend one mistake to be told the next.
import { HearthError } from '@hearth/torch'

/**
 * Runs every check.
 * @throws HearthError with the messages of all that failed; anything that is no HearthError is thrown as it is
 */
export async function allOrMistakes(checks: readonly (() => unknown)[]): Promise<void> {
  const results = await Promise.allSettled(checks.map((check) => Promise.resolve().then(check)))
  const mistakes = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as Error] : []))
  const unexpected = mistakes.find((mistake) => !(mistake instanceof HearthError))
  if (unexpected) throw unexpected
  if (mistakes.length > 1) throw new HearthError(mistakes.map(({ message }) => message).join('\n'))
  if (mistakes.length === 1) throw mistakes[0]!
}
