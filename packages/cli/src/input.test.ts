import { describe, expect, test } from 'vitest'
import { parseIds } from './input.js'

describe('token ids on a line', () => {
  test('are read with commas, spaces, or as JSON', () => {
    for (const text of ['1,2,30', '1 2 30', ' [1, 2,\n30] ', '1, 2, 30'])
      expect(parseIds(text, '--ids')).toEqual([1, 2, 30])
    expect(parseIds('', '--ids')).toEqual([])
  })

  test.each(['1.5', '-1', 'a', '1,NaN', '[[1],[2]]', '99999999999'])(
    '%j is refused with its first wrong word',
    (text) => {
      expect(() => parseIds(text, 'ids.json')).toThrow(/^ids\.json: ".+" is no token id/)
    },
  )
})
