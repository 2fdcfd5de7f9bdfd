import { tensor } from '@hearth/torch'
import { beforeEach, describe, expect, test } from 'vitest'
import { FaultStorage } from '../../test/fault-storage.js'
import { listCheckpoints, prune, saveCheckpoint, withdrawCheckpoints } from './index.js'

let storage: FaultStorage
const save = (step: number) => saveCheckpoint(storage, '/c', { step, tensors: { x: tensor([step]) }, meta: {} })
const steps = async () => (await listCheckpoints(storage, '/c')).map(({ step }) => step)

beforeEach(async () => {
  storage = new FaultStorage()
  for (const step of [10, 20, 25, 30]) await save(step)
})

describe('withdrawing', () => {
  test('takes later checkpoints away, and keeps a bad one under another name', async () => {
    await withdrawCheckpoints(storage, '/c', { after: 10, bad: 20 })
    expect(await steps()).toEqual([10])
    expect(await storage.list('/c')).toEqual(['step-00000010', 'step-00000020.bad'])
  })

  test('a second time of the same step leaves the first bad one', async () => {
    await withdrawCheckpoints(storage, '/c', { after: 10, bad: 20 })
    await save(20)
    await withdrawCheckpoints(storage, '/c', { after: 10, bad: 20 })
    expect(await storage.list('/c')).toEqual(['step-00000010', 'step-00000020.bad'])
  })

  test('does nothing where there is nothing later', async () => {
    await withdrawCheckpoints(storage, '/c', { after: 30 })
    expect(await steps()).toEqual([30, 25, 20, 10])
  })
})

describe('pruning', () => {
  test('keeps what a run goes back to, however often it was stopped in between', async () => {
    for (const step of [31, 32, 33]) await save(step)
    await prune(storage, '/c', { keepLast: 2, planned: 10 })
    expect(await steps()).toEqual([33, 32, 30, 20])
  })

  test('removes bad checkpoints that are older than all others', async () => {
    await withdrawCheckpoints(storage, '/c', { after: 10, bad: 20 })
    for (const step of [20, 30, 40, 50]) await save(step)
    await prune(storage, '/c', { keepLast: 2 })
    expect(await storage.list('/c')).toEqual(['step-00000040', 'step-00000050'])
  })
})
