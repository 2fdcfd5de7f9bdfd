// Twenty seconds of the fuzzer; `npm run fuzz -- --seed N --seconds S` runs it for longer.
import { expect, test } from 'vitest'
import { fuzz } from './fuzz.js'

test(
  'random calls with wrong arguments give results or errors, and never end the process',
  { timeout: 120_000 },
  async () => {
    const { calls, faults } = await fuzz(1, 20)
    expect(faults).toEqual([])
    expect(calls).toBeGreaterThan(500)
  },
)
