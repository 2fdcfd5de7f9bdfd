// Copies in a folder whose disk fails, fills up or loses power at every operation of a copy: the copies that were
// acknowledged are always there.
import { tensor } from '@hearth/torch'
import { beforeAll, describe, expect, test } from 'vitest'
import { faults, FaultStorage, type Fault } from '../../../test/fault-storage.js'
import { copyCheckpoint, fetchNewest, folderStore, listCopies, saveCheckpoint } from '../index.js'

const local = new FaultStorage()
const paths: string[] = []
const options = { keepLast: 2, readBack: true }

beforeAll(async () => {
  for (const step of [1, 2, 3, 4])
    paths.push((await saveCheckpoint(local, '/run', { step, tensors: { x: tensor([step, 7]) }, meta: {} })).path)
})

/** A disk with copies of the first steps. */
async function diskWith(steps: number): Promise<FaultStorage> {
  const disk = new FaultStorage()
  for (const path of paths.slice(0, steps)) await copyCheckpoint(local, path, folderStore(disk, '/nas/run'), options)
  return disk
}

/** The step that a new machine gets from the disk. */
async function fetchedStep(disk: FaultStorage): Promise<number | undefined> {
  const refuse = (what: unknown) => {
    throw new Error('a copy was refused', { cause: what })
  }
  const told = { onRefused: refuse, onUnreachable: refuse }
  return (await fetchNewest([folderStore(disk, '/nas/run')], new FaultStorage(), '/new', told))?.step
}

/** Copies step 3 with a fault at one operation; the step that was acknowledged last, and whether there was the fault. */
async function copyWith(disk: FaultStorage, at: number, fault: Fault): Promise<{ acknowledged: number; met: boolean }> {
  disk.failAt(at, fault)
  const acknowledged = await copyCheckpoint(local, paths[2]!, folderStore(disk, '/nas/run'), options).then(
    () => 3,
    () => 2,
  )
  return { acknowledged, met: disk.operations.length > at }
}

describe('copies in a folder', () => {
  test.each(faults)('are as new as what was acknowledged when any one operation meets: %s', async (fault) => {
    for (let at = 0, met = true; met; at++) {
      const disk = await diskWith(2)
      const copied = await copyWith(disk, at, fault)
      met = copied.met
      disk.restart()
      expect(await fetchedStep(disk), `${fault} at ${at}`).toBeGreaterThanOrEqual(copied.acknowledged)
      // And the next copy succeeds, with nothing left behind.
      await copyCheckpoint(local, paths[3]!, folderStore(disk, '/nas/run'), options)
      const steps = (await listCopies(folderStore(disk, '/nas/run'))).map(({ step }) => step)
      expect([steps[0], steps.length]).toEqual([4, 2])
      expect(await folderStore(disk, '/nas/run').list('')).toHaveLength(4)
    }
  })

  test.each(faults)('are as new as what was acknowledged when the power fails after: %s', async (fault) => {
    for (let at = 0, met = true; met; at++) {
      const disk = await diskWith(2)
      const copied = await copyWith(disk, at, fault)
      met = copied.met
      disk.powerCut(at)
      expect(await fetchedStep(disk), `${fault} at ${at}`).toBeGreaterThanOrEqual(copied.acknowledged)
    }
  })

  test('say what helps when the disk is full', async () => {
    const disk = await diskWith(2)
    disk.failAt(0, 'ENOSPC')
    const copying = copyCheckpoint(local, paths[2]!, folderStore(disk, '/nas/run'), options)
    await expect(copying).rejects.toThrow(/\/nas\/run cannot be used: ENOSPC[^]*remedy: free space there/)
  })
})
