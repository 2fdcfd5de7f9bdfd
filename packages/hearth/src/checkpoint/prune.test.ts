import { tensor } from '@hearth/torch'
import { beforeEach, describe, expect, test } from 'vitest'
import { FaultStorage } from '../../test/fault-storage.js'
import { listCheckpoints, prune, saveCheckpoint, verifyCheckpoint } from './index.js'

let storage: FaultStorage
const save = (step: number) => saveCheckpoint(storage, '/c', { step, tensors: { x: tensor([step]) }, meta: {} })
const steps = async () => (await listCheckpoints(storage, '/c')).map(({ step }) => step)
const damage = (step: number) =>
  storage.tamper(`/c/step-0000000${step}/state-00001-of-00001.safetensors`, (bytes) => bytes.fill(0))

beforeEach(async () => {
  storage = new FaultStorage()
  for (const step of [1, 2, 3, 4, 5, 6]) await save(step)
})

describe('pruning', () => {
  test('keeps the newest so many and says what it removed', async () => {
    expect(await prune(storage, '/c', { keepLast: 4 })).toEqual(['/c/step-00000002', '/c/step-00000001'])
    expect(await steps()).toEqual([6, 5, 4, 3])
    expect(await storage.list('/c')).toHaveLength(4)
  })

  test('keeps milestones for good', async () => {
    await prune(storage, '/c', { keepLast: 1, keepEvery: 2 })
    expect(await steps()).toEqual([6, 4, 2])
  })

  test('keeps only the last revision of a milestone', async () => {
    await save(4)
    await prune(storage, '/c', { keepLast: 1, keepEvery: 4 })
    expect((await listCheckpoints(storage, '/c')).map(({ path }) => path)).toEqual([
      '/c/step-00000006',
      '/c/step-00000004-2',
    ])
  })

  test('never removes the last checkpoint that is whole', async () => {
    for (const step of [6, 5, 4]) damage(step)
    await prune(storage, '/c', { keepLast: 2 })
    expect(await steps()).toEqual([6, 5, 3])
    expect((await verifyCheckpoint(storage, '/c/step-00000003')).problems).toEqual([])
  })

  test('removes nothing when none is whole', async () => {
    for (const step of [6, 5, 4, 3, 2, 1]) damage(step)
    expect(await prune(storage, '/c', { keepLast: 1 })).toEqual([])
    expect(await steps()).toHaveLength(6)
  })

  test('reads nothing when nothing is to go', async () => {
    storage.failAt(-1, 'kill')
    await prune(storage, '/c', { keepLast: 6 })
    expect(storage.operations).toEqual(['list /c'])
  })

  test('that the disk refuses says what to remove by hand', async () => {
    storage.failAt(-1, 'kill')
    await prune(storage, '/c', { keepLast: 5 })
    const rename = storage.operations.findIndex((name) => name.startsWith('rename'))
    storage.failAt(rename, 'EIO')
    await expect(prune(storage, '/c', { keepLast: 4 })).rejects.toThrow(/remove them by hand: \/c\/step-00000002/)
  })

  test.each([0, -1, NaN])('refuses to keep %d', async (keepLast) => {
    await expect(prune(storage, '/c', { keepLast })).rejects.toThrow(/keepLast must be at least 1/)
  })
})
