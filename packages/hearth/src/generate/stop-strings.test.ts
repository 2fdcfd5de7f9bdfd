import { describe, expect, test } from 'vitest'
import { StopStrings } from './index.js'

/** What comes out of pieces that come in, the rest at the end included. */
function run(stops: string[], pieces: string[]): { out: string[]; found: string | undefined } {
  const filter = new StopStrings(stops)
  const out = pieces.map((piece) => filter.push(piece))
  return { out: [...out, filter.end()], found: filter.found }
}

describe('stop strings', () => {
  test('let text without them through at once', () => {
    expect(run(['END'], ['Call ', 'me'])).toEqual({ out: ['Call ', 'me', ''], found: undefined })
  })

  test('are cut when they lie inside a piece, with all that follows', () => {
    expect(run(['. '], ['One. Two', ' three'])).toEqual({ out: ['One', '', ''], found: '. ' })
  })

  test('are cut when they straddle pieces, however many', () => {
    expect(run(['\nUser:'], ['Yes.', '\n', 'Us', 'er', ': no'])).toEqual({
      out: ['Yes.', '', '', '', '', ''],
      found: '\nUser:',
    })
  })

  test('hold text back only while it can be their beginning', () => {
    expect(run(['abc'], ['xab', 'x', 'ab'])).toEqual({ out: ['x', 'abx', '', 'ab'], found: undefined })
  })

  test('see a beginning inside a failed beginning', () => {
    expect(run(['aab'], ['aa', 'a', 'b'])).toEqual({ out: ['', 'a', '', ''], found: 'aab' })
  })

  test('of several, the one that begins first decides', () => {
    expect(run(['cd', 'bcde'], ['ab', 'cde']).found).toBe('bcde')
    expect(run(['cd', 'bcde'], ['ab', 'cde']).out.join('')).toBe('a')
  })

  test('give the same text however it is cut into pieces', () => {
    const text = 'the cat sat on the mat; the end'
    for (const stop of ['the mat', 'sat', 'e e', 'the the', 'zzz', 't'])
      for (let size = 1; size <= text.length; size++) {
        const pieces = text.match(new RegExp(`.{1,${size}}`, 'g'))!
        const expected = text.includes(stop) ? text.slice(0, text.indexOf(stop)) : text
        expect(run([stop], pieces).out.join('')).toBe(expected)
      }
  })
})
