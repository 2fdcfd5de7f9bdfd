// Regular expressions as task files have them, which are Python's.
import { FormatError } from '@hearth/torch'

/**
 * Python's flags at the beginning, names of groups and anchors, as JavaScript writes them.
 * @throws FormatError for what neither the one nor the other is
 * @example
 * pythonPattern('(?s).*#### ').flags // 'gs'
 */
export function pythonPattern(source: string): RegExp {
  const [, flags = '', rest = ''] = /^(?:\(\?([aimsu]+)\))?([^]*)$/.exec(source)!
  const pattern = rest
    .replaceAll('(?P<', '(?<')
    .replace(/\(\?P=(\w+)\)/g, '\\k<$1>')
    .replaceAll('\\Z', '$')
    .replaceAll('\\A', '^')
  try {
    return new RegExp(pattern, `g${flags.replace(/[au]/g, '')}`)
  } catch (cause) {
    throw new FormatError(`${JSON.stringify(source)} is no regular expression: ${(cause as Error).message}`, { cause })
  }
}

/** As Python's `findall`: the match, its one group, or all its groups. */
export function findAll(pattern: RegExp, text: string): string[][] {
  return Array.from(text.matchAll(pattern), ([whole, ...groups]) =>
    groups.length === 0 ? [whole] : groups.map((group: string | undefined) => group ?? ''),
  )
}
