import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CheckpointError } from '@hearth/torch'
import { StateFile } from './state-file.js'

const tensors = [
  { name: 'weights.a', dtype: 'float32' as const, shape: [3, 5] },
  { name: 'optimizer.m.a', dtype: 'float32' as const, shape: [3, 5] },
]
let folder: string
let path: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hearth-state-'))
  path = join(folder, 'state')
})
afterEach(() => rmSync(folder, { recursive: true }))

const create = () => StateFile.create(path, { tensors, config: 'c' })

describe('a state file', () => {
  test('begins with zeros and nothing committed', () => {
    using state = create()
    expect(state.committed).toBeUndefined()
    expect(state.tensor(0, 'weights.a').toArray()).toEqual(Array(15).fill(0))
  })

  test('shows what is written into a bank to everybody who has it open', () => {
    using state = create()
    using other = StateFile.open(path, { config: 'c' })
    state.tensor(1, 'weights.a').fill_(7)
    expect(other.tensor(1, 'weights.a').toArray()).toEqual(Array(15).fill(7))
    expect(other.tensor(0, 'weights.a').toArray()).toEqual(Array(15).fill(0))
    expect(other.tensor(1, 'optimizer.m.a').toArray()).toEqual(Array(15).fill(0))
  })

  test('gives the newest commit to whoever opens it', () => {
    using state = create()
    for (const step of [1, 2, 3]) state.commit(step, step % 2, { skipped: step })
    using other = StateFile.open(path, { config: 'c' })
    expect(other.committed).toEqual({ sequence: 3, step: 3, bank: 1, meta: { skipped: 3 } })
  })

  test('keeps the commit before when the newest is torn at any byte', () => {
    using state = create()
    state.commit(1, 0, {})
    const before = readFileSync(path)
    state.commit(2, 1, {})
    const after = readFileSync(path)
    const changed = [...after.keys()].filter((at) => at < 1 << 18 && before[at] !== after[at])
    expect(changed.length).toBeGreaterThan(32)
    for (const at of changed) {
      const file = openSync(path, 'r+')
      writeSync(file, Buffer.from([after[at]! ^ 1]), 0, 1, at)
      expect(state.committed?.step).toBe(1)
      writeSync(file, after, at, 1, at)
      closeSync(file)
    }
    expect(state.committed?.step).toBe(2)
  })

  test('offers neither the committed bank nor the one that a copy holds', () => {
    using state = create()
    state.commit(1, 1, {})
    expect(state.free()).toBe(0)
    expect(state.free(0)).toBe(2)
  })

  test('of another configuration is refused', () => {
    create().close()
    expect(() => StateFile.open(path, { config: 'd' })).toThrow(CheckpointError)
  })

  test('that is not one is refused', () => {
    writeFileSync(path, 'nothing of the kind')
    expect(() => StateFile.open(path, { config: 'c' })).toThrow(/is not a state file/)
  })
})
