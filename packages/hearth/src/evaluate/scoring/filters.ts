// Filters between what a model wrote and what is compared with the answer: each takes all answers to one question.
import { findAll, pythonPattern } from './patterns.js'

/** What the answers of one question become. */
export type Filter = (answers: readonly unknown[]) => unknown[]

type Fields = Readonly<Record<string, unknown>>
const text = (value: unknown): string => (typeof value === 'string' ? value : '')
const each =
  (change: (answer: string) => unknown): Filter =>
  (answers) =>
    answers.map((answer) => change(text(answer)))

/** The match that `group_select` counts to (from the end when it is negative), its first group that is not empty. */
function regexFilter({ regex_pattern: source, group_select: place = 0, fallback = '[invalid]' }: Fields): Filter {
  const pattern = pythonPattern(text(source ?? '#### (\\-?[0-9\\.\\,]+)'))
  return each((answer) => {
    const found = findAll(pattern, answer).at(place as number)
    const group = found !== undefined && found.length > 1 ? found.find((part) => part !== '') : found?.[0]
    return group === undefined ? fallback : group.trim()
  })
}

/** The most frequent answer, the first of equals. */
const majority: Filter = (answers) => {
  const counts = new Map<unknown, number>()
  for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1)
  const most = Math.max(...counts.values())
  return [[...counts].find(([, count]) => count === most)![0]]
}

/** What each filter of a task file makes of its fields; the fields that it takes. */
export const FILTERS: Record<string, { takes: readonly string[]; make: (fields: Fields) => Filter }> = {
  take_first: { takes: [], make: () => (answers) => answers.slice(0, 1) },
  take_first_k: {
    takes: ['k'],
    make:
      ({ k }) =>
      (answers) =>
        answers.slice(0, k as number),
  },
  majority_vote: { takes: [], make: () => majority },
  regex: { takes: ['regex_pattern', 'group_select', 'fallback'], make: regexFilter },
  remove_whitespace: { takes: [], make: () => each((answer) => answer.trim()) },
  lowercase: { takes: [], make: () => each((answer) => answer.toLowerCase()) },
  uppercase: { takes: [], make: () => each((answer) => answer.toUpperCase()) },
  map: {
    takes: ['mapping_dict', 'default_value'],
    make: ({ mapping_dict: to = {}, default_value: other = null }) =>
      each((answer) => (Object.hasOwn(to as Fields, answer) ? (to as Fields)[answer] : other)),
  },
}

/** How exact_match compares. */
export interface ExactMatchOptions {
  ignore_case?: boolean
  ignore_punctuation?: boolean
  ignore_numbers?: boolean
  regexes_to_ignore?: readonly string[]
}

/** Compares an answer with the right ones: 1 where one of them is it, after what is ignored has gone from both. */
export function exactMatch(options: ExactMatchOptions): (answer: unknown, right: readonly string[]) => number {
  const ignored = (options.regexes_to_ignore ?? []).map(pythonPattern)
  const bare = (value: unknown) => {
    let kept = ignored.reduce((left, pattern) => left.replace(pattern, ''), text(value))
    if (options.ignore_case) kept = kept.toLowerCase()
    if (options.ignore_punctuation) kept = kept.replace(/[!-/:-@[-`{-~]/g, '')
    return options.ignore_numbers ? kept.replace(/[0-9]/g, '') : kept
  }
  return (answer, right) => Number(right.some((one) => bare(one) === bare(answer)))
}
