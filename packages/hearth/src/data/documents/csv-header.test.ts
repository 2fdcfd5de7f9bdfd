import { expect, test } from 'vitest'
import { firstRecord } from './csv-header.js'

test.each([
  ['a,b\n1,2\n', ['a', 'b']],
  ['text\r\nx\r\n', ['text']],
  ['"a, ""quoted""",b\n', ['a, "quoted"', 'b']],
  ['"two\nlines",b\n', ['two\nlines', 'b']],
  ['a,,c', ['a', '', 'c']],
  ['', ['']],
])('the first record of %j', (text, fields) => {
  expect(firstRecord(text)).toEqual(fields)
})
