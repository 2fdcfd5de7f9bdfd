import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CheckpointError, randn, readSafetensors, tensor } from '@hearth/torch'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FaultStorage } from '../../test/fault-storage.js'
import {
  listCheckpoints,
  loadCheckpoint,
  loadLatest,
  realStorage,
  saveCheckpoint,
  saveInParts,
  verifyCheckpoint,
} from './index.js'

const never = () => expect.unreachable('no checkpoint should be refused')

describe('a checkpoint on the real file system', () => {
  let dir: string
  beforeEach(() => {
    dir = join(mkdtempSync(join(tmpdir(), 'hearth-')), 'checkpoints')
  })
  afterEach(() => rmSync(join(dir, '..'), { recursive: true }))

  test('gives back every tensor with the same bits, and what the trainer said', async () => {
    const tensors = {
      'weights.a': randn([100, 7]),
      'weights.b': randn([3, 5]).transpose(0, 1),
      half: randn([9]).to('bfloat16'),
      steps: tensor([1, 2, 3], { dtype: 'int64' }),
      mask: tensor([1, 0, 1], { dtype: 'bool' }),
      empty: randn([0, 4]),
      scalar: tensor(2.5),
    }
    const meta = { config: 'c0ffee', position: 420, nested: [1, null, 'é\u2028'] }
    const saved = await saveCheckpoint(realStorage, dir, { step: 420, tensors, meta })
    expect(saved.path).toBe(join(dir, 'step-00000420'))
    using loaded = (await loadLatest(realStorage, dir, { onRefused: never }))!
    expect([loaded.step, loaded.meta, loaded.hash]).toEqual([420, meta, saved.hash])
    expect([...loaded.entries.keys()].sort()).toEqual(Object.keys(tensors).sort())
    for (const [name, expected] of Object.entries(tensors)) {
      const got = loaded.tensor(name)
      expect([got.shape, got.dtype]).toEqual([expected.shape, expected.dtype])
      expect(got.toArray()).toEqual(expected.toArray())
    }
  })

  test('that comes in parts is the same to whoever loads it, and nothing is left of one that breaks off', async () => {
    const tensors = { 'weights.a': randn([100, 7]), 'weights.b': randn([3, 5]), 'optimizer.m.a': randn([100, 7]) }
    async function* parts(last = Infinity) {
      for (const [i, [name, whole]] of Object.entries(tensors).entries()) {
        if (i === last) throw new CheckpointError('a rank was lost')
        const passing = whole.clone()
        yield await Promise.resolve({ [name]: passing })
        passing.dispose()
      }
    }
    await saveInParts(realStorage, dir, { step: 7, meta: null, parts: parts() })
    await expect(saveInParts(realStorage, dir, { step: 8, meta: null, parts: parts(2) })).rejects.toThrow(/was lost/)
    expect(readdirSync(dir)).toEqual(['step-00000007'])
    using loaded = (await loadLatest(realStorage, dir, { onRefused: never }))!
    expect([...loaded.entries.keys()].sort()).toEqual(Object.keys(tensors).sort())
    for (const [name, expected] of Object.entries(tensors))
      expect(loaded.tensor(name).toArray()).toEqual(expected.toArray())
  })

  test('is a safetensors file that any reader opens', async () => {
    const { path } = await saveCheckpoint(realStorage, dir, { step: 1, tensors: { x: tensor([1, 2]) }, meta: null })
    using file = readSafetensors(join(path, 'state-00001-of-00001.safetensors'))
    expect(file.tensor('x').toArray()).toEqual([1, 2])
    expect(readdirSync(path).sort()).toEqual(['manifest.json', 'state-00001-of-00001.safetensors'])
  })

  test('may be dealt out to several shards, none larger than asked unless one tensor is', async () => {
    const tensors = Object.fromEntries([300, 10, 20, 30, 40].map((n) => [`t${n}`, randn([n])]))
    const state = { step: 5, tensors, meta: {}, shardBytes: 240, blockBytes: 100 }
    const { path } = await saveCheckpoint(realStorage, dir, state)
    expect(readdirSync(path).filter((name) => name.endsWith('.safetensors'))).toHaveLength(3)
    using loaded = await loadCheckpoint(realStorage, path)
    for (const name of Object.keys(tensors)) expect(loaded.tensor(name).toArray()).toEqual(tensors[name]!.toArray())
  })

  test('spans blocks of 4 MiB that do not end where tensors do', async () => {
    const tensors = { a: randn([1_500_000]), b: randn([3]), c: randn([1_200_000]) }
    const { path } = await saveCheckpoint(realStorage, dir, { step: 7, tensors, meta: {} })
    using loaded = await loadCheckpoint(realStorage, path)
    expect(loaded.manifest.shards[0]!.blocks).toHaveLength(3)
    for (const name of ['a', 'b', 'c'] as const)
      expect(loaded.tensor(name).sub(tensors[name]).abs().max().item()).toBe(0)
  })

  test('has the same shard bytes for the same state, in whatever order it is named', async () => {
    const [x, y] = [randn([10]), randn([20])]
    const one = await saveCheckpoint(realStorage, dir, { step: 1, tensors: { x, y }, meta: {} })
    const two = await saveCheckpoint(realStorage, dir, { step: 2, tensors: { y, x }, meta: {} })
    const shard = (path: string) => readFileSync(join(path, 'state-00001-of-00001.safetensors'))
    expect(shard(one.path).equals(shard(two.path))).toBe(true)
  })

  test('stays readable through tensors that were taken, after it is gone', async () => {
    const { path } = await saveCheckpoint(realStorage, dir, { step: 1, tensors: { x: tensor([1, 2]) }, meta: null })
    const loaded = await loadCheckpoint(realStorage, path)
    const x = loaded.tensor('x')
    loaded.close()
    rmSync(path, { recursive: true })
    expect(x.toArray()).toEqual([1, 2])
  })

  test('says which tensor it lacks', async () => {
    const { path } = await saveCheckpoint(realStorage, dir, { step: 1, tensors: { x: tensor([1]) }, meta: null })
    using loaded = await loadCheckpoint(realStorage, path)
    expect(() => loaded.tensor('y')).toThrow(/has no tensor "y"/)
  })

  test('is refused when a shard is a link to another file', async () => {
    const { path } = await saveCheckpoint(realStorage, dir, { step: 1, tensors: { x: tensor([1]) }, meta: null })
    const { renameSync, symlinkSync } = await import('node:fs')
    const shard = join(path, 'state-00001-of-00001.safetensors')
    renameSync(shard, join(dir, 'elsewhere'))
    symlinkSync(join(dir, 'elsewhere'), shard)
    const { problems } = await verifyCheckpoint(realStorage, path)
    expect(problems).toHaveLength(1)
  })
})

describe('saving', () => {
  const state = (step: number) => ({ step, tensors: { x: tensor([step]) }, meta: {} })

  test('never overwrites: a step that is saved again becomes a new revision, which is the newer one', async () => {
    const storage = new FaultStorage()
    for (let i = 0; i < 12; i++) await saveCheckpoint(storage, '/c', state(3))
    await saveCheckpoint(storage, '/c', state(2))
    const names = (await listCheckpoints(storage, '/c')).map(({ path }) => path)
    expect(names).toHaveLength(13)
    expect(names.slice(0, 3)).toEqual(['/c/step-00000003-12', '/c/step-00000003-11', '/c/step-00000003-10'])
    expect(names.at(-1)).toBe('/c/step-00000002')
  })

  test('records the parent, so that checkpoints of one run form a chain of hashes', async () => {
    const storage = new FaultStorage()
    const first = await saveCheckpoint(storage, '/c', state(1))
    const second = await saveCheckpoint(storage, '/c', { ...state(2), parent: first.hash })
    const { manifest } = await verifyCheckpoint(storage, second.path)
    expect(manifest?.parent).toBe(first.hash)
  })

  test('removes what a crash left behind, and nothing else', async () => {
    const storage = new FaultStorage()
    for (const folder of ['step-00000001.partial', 'step-00000002-3.pruned', 'mine', 'step-1.partial']) {
      await storage.makeFolder(`/c/${folder}`)
      await storage.create(`/c/${folder}/file`)
    }
    await saveCheckpoint(storage, '/c', state(3))
    expect((await storage.list('/c'))?.sort()).toEqual(['mine', 'step-00000003', 'step-1.partial'])
  })

  test('writes the memory of the tensors themselves, not a copy', async () => {
    const storage = new FaultStorage()
    const x = randn([2 ** 20])
    const views: boolean[] = []
    const create = storage.create.bind(storage)
    storage.create = async (path) => {
      const file = await create(path)
      const write = (bytes: Uint8Array) => {
        // What is a view of the tensor changes with it; only the first block, which holds the header too, is gathered.
        x.fill_(views.length)
        views.push(Buffer.from(bytes).readFloatLE(bytes.length - 4) === views.length)
        return file.write(bytes)
      }
      return { ...file, write }
    }
    await saveCheckpoint(storage, '/c', { step: 1, tensors: { x }, meta: {}, blockBytes: 2 ** 20 + 128 })
    expect(views).toEqual([false, true, true, true, false])
  })

  test.each([-1, 0.5, NaN, 2 ** 53])('refuses step %d', async (step) => {
    await expect(saveCheckpoint(new FaultStorage(), '/c', state(step))).rejects.toThrow(CheckpointError)
  })

  test('on a full disk says so, how much is needed and what to do, and leaves no half file behind', async () => {
    const storage = new FaultStorage()
    storage.failAt(-1, 'ENOSPC')
    await saveCheckpoint(storage, '/c', state(1))
    storage.failAt(
      storage.operations.findIndex((name) => name.startsWith('write')),
      'ENOSPC',
    )
    const failed = saveCheckpoint(storage, '/c', { step: 2, tensors: { x: randn([50_000]) }, meta: {} })
    await expect(failed).rejects.toThrow(CheckpointError)
    await expect(failed).rejects.toThrow(/step 2 \(0\.2 MB\) was not saved in \/c: the disk is full/)
    await expect(failed).rejects.toThrow(/remedy: free space there/)
    expect(await storage.list('/c')).toEqual(['step-00000001'])
  })

  test('with tensors that cannot be written leaves nothing behind either', async () => {
    const storage = new FaultStorage()
    const failed = saveCheckpoint(storage, '/c', { step: 2, tensors: { '\ud800': randn([5]) }, meta: {} })
    await expect(failed).rejects.toThrow(/cannot be the name of a tensor/)
    expect(await storage.list('/c')).toEqual([])
  })
})
