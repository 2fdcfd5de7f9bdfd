// Copies in object storage, against a real server on loopback that is made to fail.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rand, tensor } from '@hearth/torch'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { BUCKET, S3Server, type S3Fault } from '../../../test/s3-server.js'
import { copyCheckpoint, fetchNewest, listCopies, openPlace, realStorage, saveCheckpoint, sha256 } from '../index.js'
import type { CopyStore, Place, RefusedCheckpoint, S3Patience } from '../index.js'

/** Three parts of the smallest size that there is. */
const PATIENCE = { attempts: 2, idleSeconds: 1, partBytes: 5 * 2 ** 20 }
const big = rand([2_800_000])

const root = mkdtempSync(join(tmpdir(), 'hearth-copies-'))
let server: S3Server
let local: string
let prefix: string
let store: CopyStore
let count = 0

beforeAll(async () => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'S3RVER')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'S3RVER')
  vi.stubEnv('AWS_REGION', undefined)
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true')
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', join(root, 'none'))
  vi.stubEnv('AWS_CONFIG_FILE', join(root, 'none'))
  server = await S3Server.start()
})
afterAll(async () => {
  vi.unstubAllEnvs()
  await server.stop()
  rmSync(root, { recursive: true })
})
beforeEach(async () => {
  server.mend()
  prefix = `place/${++count}`
  local = join(root, `local-${count}`)
  store = await place({})
})

const place = (changes: Partial<Place>, patience: S3Patience = PATIENCE) =>
  openPlace({ to: `s3://${BUCKET}/${prefix}`, endpoint: server.endpoint, ...changes }, patience)

/** Saves a checkpoint on disk; its folder. */
async function save(step: number, tensors = { x: tensor([step]) }): Promise<string> {
  return (await saveCheckpoint(realStorage, local, { step, tensors, meta: {} })).path
}
const copy = (path: string, readBack = true) => copyCheckpoint(realStorage, path, store, { keepLast: 2, readBack })
const copied = async (...steps: number[]) => {
  for (const step of steps) await copy(await save(step))
}
const steps = async () => (await listCopies(store)).map(({ step }) => step)

const refused: RefusedCheckpoint[] = []
/** Brings the newest copy back to another folder. */
async function fetched(): Promise<{ step: number; files: string[] } | undefined> {
  refused.length = 0
  const got = await fetchNewest([store], realStorage, `${local}-back`, {
    onRefused: (each) => refused.push(each),
    onUnreachable: (error) => {
      throw error
    },
  })
  return got && { step: got.step, files: contents(got.path) }
}
const contents = (path: string) =>
  readdirSync(path)
    .sort()
    .map((name) => sha256(readFileSync(join(path, name))))

describe('copies in object storage', () => {
  test('come back with every byte, also where an object has several parts and a listing several pages', async () => {
    store = await place({}, { ...PATIENCE, listed: 2 })
    const path = await save(3, { x: big })
    await copied(1, 2)
    expect((await copy(path)).bytes).toBeGreaterThan(2 * PATIENCE.partBytes)
    expect(server.requests.some((name) => name.includes('partNumber=3'))).toBe(true)
    expect(await steps()).toEqual([3, 2])
    expect(await fetched()).toEqual({ step: 3, files: contents(path) })
    expect(readdirSync(`${local}-back`)).toEqual(['step-00000003'])
  })

  test('exist from the moment that their manifest does, and no longer than it', async () => {
    await copied(1, 2)
    server.requests.length = 0
    await copied(3)
    const changes = server.requests.filter((name) => /^(PUT|POST|DELETE)/.test(name)).map((name) => name.split('?')[0])
    const at = (step: number, file: string) => `/${BUCKET}/${prefix}/checkpoints/step-0000000${step}/${file}`
    const shard = 'state-00001-of-00001.safetensors'
    expect(changes).toEqual([
      `PUT ${at(3, shard)}`,
      `PUT ${at(3, 'manifest.json')}`,
      `DELETE ${at(1, 'manifest.json')}`,
      `DELETE ${at(1, shard)}`,
    ])
  })

  test('are sent once, and another state of the same step is never written over the first', async () => {
    const path = await save(7)
    await copy(path)
    expect(await copy(path)).toMatchObject({ bytes: 0, key: 'checkpoints/step-00000007' })
    await save(7, { x: tensor([9]) })
    expect(await copy(`${path}-2`)).toMatchObject({ key: 'checkpoints/step-00000007-2' })
    expect((await fetched())!.files).toEqual(contents(`${path}-2`))
  })

  test('that are damaged are refused and named, and the one before is used', async () => {
    await copied(1, 2)
    server.tamper(`${prefix}/checkpoints/step-00000002/state`, (bytes) => {
      bytes[bytes.length - 1]! ^= 1
      return bytes
    })
    expect((await fetched())!.step).toBe(1)
    expect(refused).toMatchObject([{ step: 2, path: `s3://${BUCKET}/${prefix}/checkpoints/step-00000002` }])
    expect(refused[0]!.problems.join()).toMatch(/differs from its checksums/)
    await store.remove('checkpoints/step-00000001/state-00001-of-00001.safetensors')
    await expect(fetched()).rejects.toThrow(/none of the 2 copies is whole/)
    expect(readdirSync(`${local}-back`)).toEqual(['step-00000001'])
  })

  test('of a place without any are none', async () => {
    expect(await fetched()).toBeUndefined()
  })

  test('that are damaged on the way are noticed, and do not count', async () => {
    await copied(1)
    const path = await save(2)
    // What the server stored is not what was sent.
    server.onRequest = (name) => {
      if (!/GET .*step-00000002\/manifest/.test(name)) return
      server.onRequest = () => undefined
      server.tamper(`${prefix}/checkpoints/step-00000002/state`, (bytes) => bytes.fill(0))
    }
    await expect(copy(path)).rejects.toThrow(/step-00000002 was damaged on the way, and removed/)
    expect(await steps()).toEqual([1])
  })

  test('of a checkpoint that is damaged on disk are not made', async () => {
    const path = await save(2)
    const damaged = { ...realStorage, open: async (file: string) => flipped(await realStorage.open(file)) }
    const options = { keepLast: 2, readBack: true }
    await expect(copyCheckpoint(damaged, path, store, options)).rejects.toThrow(/is damaged at byte 0: .* not copied/)
    expect(await steps()).toEqual([])
  })
})

/** As a disk that gives one bit wrongly in each shard. */
const flipped = (file: Awaited<ReturnType<typeof realStorage.open>>): typeof file => ({
  size: file.size,
  close: () => file.close(),
  async read(into, position) {
    const got = await file.read(into, position)
    if (file.size < 200 && got > 0) into[got - 1]! ^= 1
    return got
  },
})

describe('a connection that is cut once', () => {
  test.each<[what: string, fault: S3Fault, match: RegExp]>([
    ['in the middle of an upload', 'cut upload', /partNumber=2/],
    ['in the middle of a download', 'cut answer', /GET .*state-/],
    ['by an error of the server', 'error 500', /PUT .*manifest/],
  ])('%s costs nothing', async (_, fault, match) => {
    const path = await save(3, { x: fault === 'error 500' ? tensor([3]) : big })
    server.fail(fault, match, 1)
    await copy(path, false)
    expect(await fetched()).toEqual({ step: 3, files: contents(path) })
  })
})

describe('one clear error, and the copy before untouched, for', () => {
  const lost: [what: string, fault: S3Fault, match: RegExp, error: RegExp][] = [
    ['a server that answers 500', 'error 500', /./, /the server fails \(500\)[^]*remedy: .*tried again later/],
    ['500 for the manifest alone', 'error 500', /PUT .*manifest/, /the server fails \(500\)/],
    ['a server that does not answer', 'no answer', /PUT/, /the server does not answer\n {2}remedy: .*endpoint/],
    ['a cut in every upload', 'cut upload', /partNumber=2/, /the server cut the connection/],
    ['an answer cut in every attempt', 'cut answer', /GET .*state-/, /the server cut the connection/],
  ]
  test.each(lost)('%s', async (_, fault, match, error) => {
    await copied(1)
    const path = await save(2, { x: fault === 'cut upload' ? big : tensor([2]) })
    server.fail(fault, match)
    await expect(copy(path)).rejects.toThrow(error)
    server.mend()
    expect((await fetched())!.step).toBeGreaterThanOrEqual(1)
    rmSync(`${local}-back`, { recursive: true })
    await copy(path)
    expect(await fetched()).toEqual({ step: 2, files: contents(path) })
    expect((await store.list('')).length).toBe(4)
  })

  const mistaken: [what: string, environment: Record<string, string | undefined>, to: Partial<Place>, error: RegExp][] =
    [
      ['a bucket that is not there', {}, { to: 's3://no-such-bucket/x' }, /no such bucket[^]*remedy: make the bucket/],
      ['a server that is not there', {}, { endpoint: 'http://127.0.0.1:1' }, /refuses the connection[^]*endpoint/],
      ['a wrong key', { AWS_ACCESS_KEY_ID: 'wrong' }, {}, /does not know the access key[^]*AWS_ACCESS_KEY_ID/],
      ['a wrong secret', { AWS_SECRET_ACCESS_KEY: 'wrong' }, {}, /the secret key is wrong[^]*AWS_SECRET_ACCESS_KEY/],
      ['no credentials', { AWS_ACCESS_KEY_ID: undefined }, {}, /no credentials were found[^]*AWS_PROFILE/],
      ['no region', {}, { endpoint: undefined }, /no region is given[^]*AWS_REGION/],
    ]
  test.each(mistaken)('%s', async (_, environment, to, error) => {
    const path = await save(2)
    const kept = { ...process.env }
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value)
    store = await place(to)
    const message = await copy(path).catch((thrown: unknown) => (thrown as Error).message)
    for (const name of Object.keys(environment)) vi.stubEnv(name, kept[name])
    expect(message).toMatch(error)
    expect(message).not.toContain('S3RVER')
  })

  test.each(['s3://', 's3:/bucket', 's3://Bucket/x', 's3://bucket/../x', 'gs://bucket/x', 's3://b?x=1'])(
    'the place %s',
    async (to) => {
      await expect(openPlace({ to })).rejects.toThrow(/s3:\/\/bucket\/prefix/)
    },
  )
})
