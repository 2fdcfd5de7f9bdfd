// Every operation of a save and of the pruning after it meets every fault, followed or not by a power cut. Whatever
// happens, some checkpoint is whole, and it is never older than the last one that was acknowledged (R10).
import { CheckpointError, tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { FaultStorage, faults, Killed, seededRandom } from '../../test/fault-storage.js'
import type { Fault } from '../../test/fault-storage.js'
import { findLatest, listCheckpoints, prune, saveCheckpoint, verifyCheckpoint } from './index.js'
import type { VerifiedCheckpoint } from './index.js'

const DIR = '/run/checkpoints'
// Blocks of 1 KB: each file is written in several calls, that tear at 512 B and at 4 KiB.
const stateOf = (step: number) => {
  const random = seededRandom(step)
  const values = (count: number) => tensor(Float32Array.from({ length: count }, random))
  const tensors = { a: values(1300), b: values(7), c: values(600) }
  return { step, tensors, meta: { step }, shardBytes: 5300, blockBytes: 1024 }
}
const states = [1, 2, 3, 4].map(stateOf)
const save = (storage: FaultStorage, step: number) => saveCheckpoint(storage, DIR, states[step - 1]!)

function shardsOf(storage: FaultStorage, { path, manifest }: VerifiedCheckpoint): string {
  const names = manifest.shards.map(({ file }) => `${path}/${file}`)
  return names.map((name) => Buffer.from(storage.contents(name)).toString('base64')).join()
}

const expected = new Map<number, string>()
for (const { step } of states) {
  const storage = new FaultStorage()
  await save(storage, step)
  expected.set(step, shardsOf(storage, (await findLatest(storage, DIR, { onRefused: () => undefined }))!))
}

/** Steps 1 and 2 are acknowledged; then step 3 is saved, and the old ones pruned, under the fault. */
async function session(operation: number, fault: Fault) {
  const storage = new FaultStorage()
  await save(storage, 1)
  await save(storage, 2)
  storage.failAt(operation, fault)
  let acknowledged = 2
  let error: unknown
  try {
    acknowledged = (await save(storage, 3)).step
    await prune(storage, DIR, { keepLast: 1 })
  } catch (caught) {
    error = caught
  }
  return { storage, acknowledged, error, operations: [...storage.operations] }
}

async function checkInvariant(storage: FaultStorage, acknowledged: number, about: string): Promise<void> {
  const refused: string[] = []
  const found = await findLatest(storage, DIR, { onRefused: ({ path }) => refused.push(path) })
  expect(found?.manifest.step, about).toBeGreaterThanOrEqual(acknowledged)
  expect(shardsOf(storage, found!), about).toBe(expected.get(found!.manifest.step))
  // What bears the name of a checkpoint is one: nothing unfinished or half removed is ever offered to a reader.
  expect(refused, about).toEqual([])
  for (const { path } of await listCheckpoints(storage, DIR))
    expect((await verifyCheckpoint(storage, path)).problems, about).toEqual([])
}

async function checkNextSave(storage: FaultStorage, about: string): Promise<void> {
  await save(storage, 4)
  const names = await storage.list(DIR)
  expect(
    names?.filter((name) => /\.(partial|pruned)$/.test(name)),
    about,
  ).toEqual([])
  await checkInvariant(storage, 4, about)
}

const clean = await session(-1, 'kill')
const count = clean.operations.length
const POWER_CUTS = 4

describe('a save and the pruning after it', () => {
  test('consist of enough operations to be worth the sweep', async () => {
    expect(clean.error).toBeUndefined()
    expect(count).toBeGreaterThan(50)
    expect((await listCheckpoints(clean.storage, DIR)).map(({ step }) => step)).toEqual([3])
  })

  test.each(faults)('keep the invariant when any one operation meets: %s', async (fault) => {
    for (let operation = 0; operation < count; operation++) {
      const about = `${fault} at operation ${operation}, ${clean.operations[operation]!}`
      const { storage, acknowledged, error } = await session(operation, fault)
      if (fault === 'kill') expect(error, about).toBeInstanceOf(Killed)
      else if (error !== undefined) expect(error, about).toBeInstanceOf(CheckpointError)
      storage.restart()
      await checkInvariant(storage, acknowledged, about)
      await checkNextSave(storage, about)
    }
  })

  test.each(faults)('keep the invariant when the power fails after: %s', async (fault) => {
    for (let operation = 0; operation <= count; operation++)
      for (let seed = 0; seed < POWER_CUTS; seed++) {
        const about = `${fault} at operation ${operation}, ${clean.operations[operation] ?? 'none'}, power cut ${seed}`
        const { storage, acknowledged } = await session(operation, fault)
        storage.powerCut(operation * POWER_CUTS + seed)
        await checkInvariant(storage, acknowledged, about)
        await checkNextSave(storage, about)
      }
  })

  test('survive an fsync that fails once, by writing the file anew', async () => {
    const fsyncs = clean.operations.flatMap((name, index) => (name.startsWith('fsync /') ? [index] : []))
    expect(fsyncs).toHaveLength(3)
    for (const operation of fsyncs) {
      const { storage, acknowledged, error, operations } = await session(operation, 'failed fsync')
      expect([acknowledged, error]).toEqual([3, undefined])
      const [, path] = clean.operations[operation]!.split(' ')
      expect(operations.filter((name) => name === `create ${path!}`)).toHaveLength(2)
      storage.powerCut(operation)
      await checkInvariant(storage, 3, `failed fsync of ${path!}`)
    }
  })

  test('leave no half-written folder after an error that the process survives', async () => {
    for (const fault of ['ENOSPC', 'EIO'] as const)
      for (let operation = 0; operation < count; operation++) {
        const { storage, acknowledged, operations } = await session(operation, fault)
        if (acknowledged === 3) continue
        const names = (await storage.list(DIR))?.filter((name) => name.endsWith('.partial'))
        expect(names, `${fault} at ${operations[operation]!}`).toEqual([])
      }
  })

  test('survive two faults: a kill at any operation, then a power cut at any operation of the next save', async () => {
    for (let first = 0; first < count; first += 3)
      for (let second = 0; second < count; second += 7) {
        const { storage, acknowledged } = await session(first, 'kill')
        storage.restart()
        storage.failAt(second, 'kill')
        const next = await save(storage, 4).then(
          ({ step }) => step,
          () => acknowledged,
        )
        storage.powerCut(first * count + second)
        await checkInvariant(storage, Math.max(next, acknowledged), `kill at ${first}, power cut at ${second}`)
      }
  })
})
