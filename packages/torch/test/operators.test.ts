// Operators against plain arithmetic (operator-cases.ts), and what they promise about dtypes.
import { arange, tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { expectClose, operatorCases } from './operator-cases.js'

const f64 = (values: number[]) => tensor(values, { dtype: 'float64' })

describe('operators', () => {
  test.each(Object.entries(operatorCases('cpu')))('%s', (_, run) => {
    const [got, expected] = run()
    expectClose(got, expected)
  })

  test('that compare give booleans', () => {
    const [x, y] = [f64([1, 2, 3]), f64([3, 2, 1])]
    const found = [x.eq(y), x.ne(y), x.lt(y), x.le(y), x.gt(2), x.ge(2)]
    expect(found.every(({ dtype }) => dtype === 'bool')).toBe(true)
    expect(found.map((z) => z.toArray().join(''))).toEqual(['010', '101', '100', '110', '001', '011'])
    expect([x.equal(y), x.equal(x)]).toEqual([false, true])
  })

  test('keep integers whole and make fractions where they must', () => {
    expect(arange(3).add(1).dtype).toBe('int64')
    expect(arange(3).add(1.5).dtype).toBe('float32')
    expect(arange(3).div(2).toArray()).toEqual([0, 0.5, 1])
  })

  test('return the very tensor that they write to', () => {
    const x = f64([1, 2])
    expect(x.zero_()).toBe(x)
  })
})
