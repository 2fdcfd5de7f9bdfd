// A few seconds of the fuzzer for each parser; `npm run fuzz -- PARSER --seed N --seconds S` runs it for longer.
import { expect, test } from 'vitest'
import { fuzzParser } from './fuzz/run.js'

test.each(['safetensors', 'gguf', 'pickle', 'tokenizer', 'neox'])(
  'damaged files for %s are read or refused: no crash, no second of work, no 64 MiB beyond the file',
  { timeout: 120_000 },
  async (parser) => {
    const { executions, faults } = await fuzzParser(parser, 1, 6)
    expect(faults).toEqual([])
    expect(executions).toBeGreaterThan(100)
  },
)
