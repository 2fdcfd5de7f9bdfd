import { describe, expect, test } from 'vitest'
import { countsLine, countTests } from './count.mjs'

const file = (...states) => ({
  status: states.includes('failed') ? 'failed' : 'passed',
  assertionResults: states.map((status) => ({ status })),
})

describe('countTests', () => {
  test('counts tests by what became of them', () => {
    const report = { testResults: [file('passed', 'failed'), file('passed', 'skipped', 'todo', 'pending')] }
    expect(countTests(report, 1)).toEqual({ passed: 2, failed: 1, skipped: 3 })
  })

  test('counts a file that does not load as one failure', () => {
    const report = { testResults: [file('passed'), { status: 'failed', assertionResults: [] }] }
    expect(countTests(report, 1)).toEqual({ passed: 1, failed: 1, skipped: 0 })
  })

  test('fails when vitest fails although every test passed, as after a crash of a worker', () => {
    expect(countTests({ testResults: [file('passed')] }, 1)).toEqual({ passed: 1, failed: 1, skipped: 0 })
  })

  test('fails when no test was executed', () => {
    expect(countTests({ testResults: [file('skipped')] }, 0)).toEqual({ passed: 0, failed: 1, skipped: 1 })
    expect(countTests(undefined, 0)).toEqual({ passed: 0, failed: 1, skipped: 0 })
  })
})

test('countsLine names skipped tests only when there are some', () => {
  expect(countsLine({ passed: 3, failed: 0, skipped: 0 })).toBe('3 passed, 0 failed')
  expect(countsLine({ passed: 3, failed: 1, skipped: 2 })).toBe('3 passed, 1 failed, 2 skipped')
})
