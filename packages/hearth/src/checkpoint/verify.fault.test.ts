// Damage of every kind to a checkpoint at rest: all of it is refused, the checkpoint before is used, and that is said (R9).
import { randn, tensor } from '@hearth/torch'
import { beforeEach, describe, expect, test } from 'vitest'
import { FaultStorage, seededRandom } from '../../test/fault-storage.js'
import { findLatest, saveCheckpoint, verifyCheckpoint } from './index.js'
import type { RefusedCheckpoint } from './index.js'

const OLD = '/c/step-00000001'
const NEW = '/c/step-00000002'
const SHARDS = [1, 2].map((n) => `state-0000${n}-of-00002.safetensors`)
let storage: FaultStorage
const tensors = { a: randn([5000]), b: randn([5000]) }

beforeEach(async () => {
  storage = new FaultStorage()
  await saveCheckpoint(storage, '/c', { step: 1, tensors: { a: tensor([1]) }, meta: {} })
  await saveCheckpoint(storage, '/c', { step: 2, tensors, meta: {}, shardBytes: 20_000, blockBytes: 4096 })
})

/** Expects the newest checkpoint to be refused and the one before it to be found; what was said. */
async function refusal(about: string): Promise<RefusedCheckpoint> {
  const refused: RefusedCheckpoint[] = []
  const found = await findLatest(storage, '/c', { onRefused: (one) => refused.push(one) })
  expect(found?.path, about).toBe(OLD)
  expect(
    refused.map(({ path }) => path),
    about,
  ).toEqual([NEW])
  return refused[0]!
}

const flip = (bit: number) => (bytes: Uint8Array<ArrayBuffer>) => {
  bytes[bit >> 3]! ^= 1 << (bit & 7)
  return bytes
}

describe('a damaged checkpoint is refused, and the one before it used', () => {
  test('for every single bit of its manifest', async () => {
    const path = `${NEW}/manifest.json`
    const bits = storage.contents(path).length * 8
    expect(bits).toBeGreaterThan(8000)
    for (let bit = 0; bit < bits; bit++) {
      storage.tamper(path, flip(bit))
      if (bit % 16 === 0) await refusal(`bit ${bit} of the manifest`)
      const { problems } = await verifyCheckpoint(storage, NEW)
      expect(problems[0], `bit ${bit} of the manifest`).toMatch(/^manifest\.json/)
      storage.tamper(path, flip(bit))
    }
    expect((await verifyCheckpoint(storage, NEW)).problems).toEqual([])
  })

  test('for a thousand bits of its data, at random', async () => {
    const random = seededRandom(42)
    for (let i = 0; i < 1000; i++) {
      const path = `${NEW}/${SHARDS[i % 2]!}`
      const bit = Math.floor(random() * storage.contents(path).length * 8)
      storage.tamper(path, flip(bit))
      const { problems } = await refusal(`bit ${bit} of ${path}`)
      const block = Math.floor(bit / 8 / 4096) * 4096
      expect(problems).toEqual([
        `${SHARDS[i % 2]!} differs from its checksums in 1 of 5 blocks, first at byte ${block}`,
      ])
      storage.tamper(path, flip(bit))
    }
  })

  test('for a file cut short at every 4 KiB, or by one byte, or made longer', async () => {
    for (const name of [...SHARDS, 'manifest.json']) {
      const whole = storage.contents(`${NEW}/${name}`).slice()
      const lengths = Array.from({ length: Math.ceil(whole.length / 4096) }, (_, i) => i * 4096)
      for (const length of [...lengths, whole.length - 1]) {
        storage.tamper(`${NEW}/${name}`, () => whole.slice(0, length))
        expect((await refusal(`${name} cut at ${length}`)).problems[0]).toContain(name)
      }
      storage.tamper(`${NEW}/${name}`, () => Uint8Array.from([...whole, 10]))
      await refusal(`${name} longer`)
      storage.tamper(`${NEW}/${name}`, () => whole)
    }
    expect((await verifyCheckpoint(storage, NEW)).problems).toEqual([])
  })

  test('for two shards that were swapped', async () => {
    const [first, second] = SHARDS.map((name) => storage.contents(`${NEW}/${name}`).slice())
    storage.tamper(`${NEW}/${SHARDS[0]!}`, () => second!)
    storage.tamper(`${NEW}/${SHARDS[1]!}`, () => first!)
    expect((await refusal('swapped')).problems).toHaveLength(2)
  })

  test.each([...SHARDS, 'manifest.json'])('for a missing %s', async (name) => {
    await storage.unlink(`${NEW}/${name}`)
    expect((await refusal('missing')).problems).toEqual([`${name} is missing`])
  })

  test('for a shard of an earlier step in place of its own', async () => {
    const earlier = { a: tensors.a.add(1), b: tensors.b }
    await saveCheckpoint(storage, '/d', { step: 1, tensors: earlier, meta: {}, shardBytes: 20_000, blockBytes: 4096 })
    const stale = storage.contents(`/d/step-00000001/${SHARDS[0]!}`)
    expect(stale.length).toBe(storage.contents(`${NEW}/${SHARDS[0]!}`).length)
    storage.tamper(`${NEW}/${SHARDS[0]!}`, () => stale.slice())
    expect((await refusal('stale shard')).problems[0]).toMatch(/^state-00001.* differs from its checksums in 5 of 5/)
  })

  test('for a manifest of an earlier step, even with all its files', async () => {
    for (const name of SHARDS) await storage.unlink(`${NEW}/${name}`)
    await storage.unlink(`${NEW}/manifest.json`)
    for (const name of (await storage.list(OLD))!) {
      const file = await storage.create(`${NEW}/${name}`)
      await file.write(storage.contents(`${OLD}/${name}`))
    }
    expect((await refusal('stale folder')).problems).toEqual([
      'manifest.json is that of step 1: it does not belong in this folder',
    ])
  })

  test('for a disk that does not give a file back', async () => {
    const before = (await verifyCheckpoint(storage, NEW)).problems
    expect(before).toEqual([])
    storage.failAt(0, 'kill')
    storage.restart()
    await verifyCheckpoint(storage, NEW)
    const reads = storage.operations.length
    expect(reads).toBeGreaterThan(10)
    for (let operation = 0; operation < reads; operation++) {
      if (storage.operations[operation]!.startsWith('close')) continue
      const name = storage.operations[operation]!
      storage.failAt(operation, 'EIO')
      const { problems } = await verifyCheckpoint(storage, NEW)
      expect(problems.join(), name).toMatch(/cannot be read: EIO/)
      await verifyCheckpoint(storage, NEW)
    }
  })

  test('and when all are damaged, it is an error and not a fresh start', async () => {
    for (const path of [OLD, NEW]) storage.tamper(`${path}/manifest.json`, flip(99))
    const refused: number[] = []
    const found = findLatest(storage, '/c', { onRefused: ({ step }) => refused.push(step) })
    await expect(found).rejects.toThrow(/none of the 2 checkpoints in \/c is whole/)
    expect(refused).toEqual([2, 1])
  })

  test('while a folder without checkpoints, or no folder, is a fresh start', async () => {
    const onRefused = () => expect.unreachable()
    await storage.makeFolder('/empty/step-00000001.partial')
    expect(await findLatest(storage, '/empty', { onRefused })).toBeUndefined()
    expect(await findLatest(storage, '/nowhere', { onRefused })).toBeUndefined()
  })
})
