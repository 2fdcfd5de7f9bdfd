// `; did you mean "q_proj"?` in messages about names.
import { distance } from 'fastest-levenshtein'

export function suggestedName(got: string, known: readonly string[]): string {
  const near = known.map((name) => ({ name, far: distance(got, name) })).sort((a, b) => a.far - b.far)[0]
  return near !== undefined && near.far <= Math.max(2, got.length / 3)
    ? `; did you mean ${JSON.stringify(near.name)}?`
    : ''
}
