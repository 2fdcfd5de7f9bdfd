// A member that is behind, in a group of three over real connections, which damage what some of the others send.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CheckpointError, noGrad, ProcessGroup, RendezvousServer } from '@hearth/torch'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { StateFile } from '../../checkpoint/index.js'
import { passState, type DiskPath, type Passed } from './pass-state.js'

const RANKS = [0, 1, 2]
const BEHIND = 2
const META = { judge: 'of step 7' }
// Two blocks and a bit.
const ELEMENTS = 4_500_000

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hearth-pass-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function stateOf(rank: number): StateFile {
  const tensors = [{ name: 'weights', dtype: 'float32' as const, shape: [ELEMENTS] }]
  const state = StateFile.create(join(folder, `state-${rank}`), { tensors, config: 'c', banks: 2 })
  state.tensor(0, 'weights').fill_(rank === BEHIND ? 3 : 7)
  state.commit(rank === BEHIND ? 3 : 7, 0, rank === BEHIND ? {} : META)
  return state
}

/** As if a bit flipped on the way: in the given message of this member. */
function damaging(group: ProcessGroup, message: number): ProcessGroup {
  let sent = 0
  const send: ProcessGroup['send'] = async (tensor, to) => {
    if (sent++ !== message) return group.send(tensor, to)
    const other = noGrad(() => tensor.clone())
    const bytes = other.data() as Uint8Array
    bytes[bytes.length - 1]! ^= 1
    await group.send(other, to)
  }
  return new Proxy(group, {
    get: (target, name) => {
      const value: unknown = name === 'send' ? send : Reflect.get(target, name, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

/** A file that all members see. */
function diskOf(state: StateFile, works: boolean): DiskPath {
  const path = join(folder, 'shared')
  const bytesOf = (bank: number) => state.flat(bank, 'uint8').data() as Uint8Array
  return {
    write: () => {
      if (works) writeFileSync(path, bytesOf(0))
      return Promise.resolve(works)
    },
    read: (step) => {
      bytesOf(1).set(readFileSync(path))
      state.commit(step, 1, META)
      return Promise.resolve(true)
    },
  }
}

interface Outcome {
  passed: (Passed | undefined)[]
  step: number
  meta: unknown
  first: number
  last: number
}

/** @param damage of which rank, which message */
async function pass(damage: Record<number, number>, diskWorks = true): Promise<Outcome> {
  const server = await RendezvousServer.listen()
  const states = RANKS.map(stateOf)
  const each = async (rank: number) => {
    const store = { host: '127.0.0.1', port: server.port }
    const group = await ProcessGroup.join({ store, rank, size: 3, timeoutSeconds: 20, generation: 0 })
    try {
      const state = states[rank]!
      const positionOf = () => ({ step: state.committed!.step, batch: state.committed!.step })
      const message = damage[rank]
      const through = message === undefined ? group : damaging(group, message)
      return await passState(through, {
        ...{ state, positionOf, freeBank: () => Promise.resolve(1) },
        disk: diskOf(state, diskWorks),
      })
    } finally {
      await group.leave()
    }
  }
  try {
    const ends = await Promise.allSettled(RANKS.map(each))
    const failed = ends.find((end) => end.status === 'rejected')
    const { step, bank, meta } = states[BEHIND]!.committed!
    if (failed) throw Object.assign(failed.reason as Error, { step })
    const weights = states[BEHIND]!.tensor(bank, 'weights').data() as Float32Array
    const passed = ends.map((end) => (end.status === 'fulfilled' ? end.value : undefined))
    return { passed, step, meta, first: weights[0]!, last: weights.at(-1)! }
  } finally {
    for (const state of states) state.close()
    server.close()
  }
}

const WHOLE = { step: 7, meta: META, first: 7, last: 7 }

// A member sends its words, then blocks, each followed by its checksum.
const [WORDS, CHECKSUM, LAST_BLOCK] = [0, 3, 6]

describe.skipIf(!ProcessGroup.available)('a machine that is behind', () => {
  test('takes over the state of one that is not', async () => {
    const { passed, ...outcome } = await pass({})
    expect(outcome).toEqual(WHOLE)
    expect(passed).toMatchObject([undefined, undefined, { from: 0, step: 7, bytes: 4 * ELEMENTS }])
  })

  test.each([
    ['the words beside it', WORDS],
    ['a checksum', CHECKSUM],
    ['its last block', LAST_BLOCK],
  ])('takes it from another when %s came damaged', async (_, message) => {
    const { passed, ...outcome } = await pass({ 0: message })
    expect(outcome).toEqual(WHOLE)
    expect(passed[BEHIND]).toMatchObject({ from: 1, step: 7 })
  })

  test('reads it from the disk when it comes damaged from everybody', async () => {
    const { passed, ...outcome } = await pass({ 0: LAST_BLOCK, 1: WORDS })
    expect(outcome).toEqual(WHOLE)
    expect(passed).toMatchObject([undefined, undefined, { from: 'disk', step: 7, bytes: 4 * ELEMENTS }])
  })

  test('keeps what it has when the disk refuses too, and all say why', async () => {
    const failed = await pass({ 0: LAST_BLOCK, 1: LAST_BLOCK }, false).catch((error: unknown) => error)
    expect(failed).toBeInstanceOf(CheckpointError)
    expect(failed).toMatchObject({
      step: 3,
      message: expect.stringMatching(/arrives damaged from every machine/) as string,
    })
    expect(existsSync(join(folder, 'shared'))).toBe(false)
  })
})
