// The JSON of a file header, read more strictly than JSON.parse reads: a key that comes twice, a number that is not a
// plain non-negative integer and nesting without end are all ways to make two readers see two different files.
import { printParseErrorCode, visit } from 'jsonc-parser'

/** What a header can hold. Other literals (fractions, negative numbers, true, null) are kept as their text, to be named. */
export type HeaderValue = HeaderObject | HeaderValue[] | string | number | { literal: string }
export type HeaderObject = Map<string, HeaderValue>

/** Makes the error of a header, of what was found and what was expected in its place. */
export type Refuse = (got: string, expected: string) => Error

/** Objects and lists within each other: a header needs three. */
const MAX_DEPTH = 3

/** A surrogate without its partner: such a string has no UTF-8. */
export const UNPAIRED = /\p{Cs}/u

/** A text of the file, in quotes and cut short, for messages. */
export const quoted = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)

/**
 * Reads strict JSON: no comments, no trailing commas, no key twice in one object, no unpaired surrogates.
 * @throws what `refuse` makes
 */
export function parseHeaderJson(text: string, refuse: Refuse): HeaderValue {
  const open: (HeaderObject | HeaderValue[])[] = []
  const keys: string[] = []
  let root: HeaderValue | undefined

  const place = (value: HeaderValue) => {
    const parent = open.at(-1)
    if (parent === undefined) root = value
    else if (Array.isArray(parent)) parent.push(value)
    else parent.set(keys[open.length - 1]!, value)
  }
  const begin = (value: HeaderObject | HeaderValue[]) => {
    if (open.length === MAX_DEPTH) throw refuse(`more than ${MAX_DEPTH} levels of nesting`, `at most ${MAX_DEPTH}`)
    place(value)
    open.push(value)
  }
  const end = () => {
    open.pop()
  }

  visit(
    text,
    {
      onObjectBegin: () => begin(new Map()),
      onObjectEnd: end,
      onArrayBegin: () => begin([]),
      onArrayEnd: end,
      onObjectProperty: (key) => {
        if ((open.at(-1) as HeaderObject).has(key)) throw refuse(`the key ${quoted(key)} twice`, 'each key once')
        keys[open.length - 1] = wellFormed(key, refuse)
      },
      onLiteralValue: (value: unknown, offset, length) =>
        place(typeof value === 'string' ? wellFormed(value, refuse) : numeric(text.slice(offset, offset + length))),
      onError: (code, offset) => {
        throw refuse(`${printParseErrorCode(code)} at character ${offset}`, 'strict JSON')
      },
    },
    { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false },
  )
  return root!
}

// 1.0 and 1e3 are refused too: they are not how sizes are written, and 2^53 + 1 would silently become another number.
function numeric(literal: string): HeaderValue {
  const value = Number(literal)
  return /^(0|[1-9]\d*)$/.test(literal) && Number.isSafeInteger(value) ? value : { literal }
}

function wellFormed(text: string, refuse: Refuse): string {
  if (UNPAIRED.test(text)) throw refuse(`${quoted(text)} with an unpaired surrogate`, 'well-formed Unicode')
  return text
}
