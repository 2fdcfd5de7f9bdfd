import { describe, expect, test } from 'vitest'
import { formatBytes, formatCount, formatDuration } from './format.js'
import { table } from './table.js'

describe('numbers for people', () => {
  test('bytes in powers of 1024, counts in powers of 1000', () => {
    expect([0, 1023, 1536, 5 * 2 ** 30].map(formatBytes)).toEqual(['0 B', '1023 B', '1.50 KiB', '5.00 GiB'])
    expect([0, 999, 12_345, 124_439_808, 6.7e9].map(formatCount)).toEqual(['0', '999', '12.3k', '124M', '6.70B'])
  })

  test('durations change their unit with their length', () => {
    expect([0, 7.3, 59.6, 125, 3725, Infinity].map(formatDuration)).toEqual([
      '0 s',
      '7 s',
      '1 min 00 s',
      '2 min 05 s',
      '1 h 02 min',
      '?',
    ])
  })

  test('columns of numbers stand to the right, texts to the left', () => {
    expect(
      table(
        [
          ['a', '5'],
          ['bcd', '1200'],
        ],
        ['name', 'size'],
      ),
    ).toBe('  name  size\n  a        5\n  bcd   1200')
  })
})
