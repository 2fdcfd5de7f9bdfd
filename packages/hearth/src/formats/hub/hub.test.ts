// Against a server on loopback that answers as the hub does: commits, listings, redirects to storage, ranges, refusals; and
// that can cut a connection or change a byte.
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { fetchDataset, fetchModel, parseHubName, type HubOptions } from './index.js'

const COMMIT = 'a'.repeat(40)
const weights = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31) % 251))
const files: Record<string, Buffer> = {
  'README.md': Buffer.from('a card'),
  'config.json': Buffer.from('{"model_type":"gpt2"}'),
  'model.safetensors': weights,
  'pytorch_model.bin': Buffer.from('not wanted beside safetensors'),
  'tokenizer.json': Buffer.from('{}'),
  'data/train-0.jsonl': Buffer.from('{"text":"a"}\n'),
  'data/test-0.jsonl': Buffer.from('{"text":"b"}\n'),
}
const sha = (kind: string, ...parts: (string | Buffer)[]) =>
  parts.reduce((hash, part) => hash.update(part), createHash(kind)).digest('hex')
const gitOid = (body: Buffer) => sha('sha1', `blob ${body.length}\0`, body)

let server: Server
let cache: string
let options: HubOptions
let asked: string[]
/** Changes how the server sends large contents. */
let sending: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined
/** Changes a listing. */
let listed: (entry: { path: string }) => object

function answer(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url!, 'http://hub')
  asked.push(`${request.headers.range ?? ''} ${url.pathname}`)
  const json = (body: unknown, status = 200) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  if (url.pathname.includes('/secret')) {
    if (request.headers.authorization !== 'Bearer hf_right') return void json({ error: 'no' }, 401)
  } else if (!url.pathname.includes('/small') && !url.pathname.startsWith('/storage/'))
    return void json({ error: 'no' }, 404)
  if (url.pathname.includes('/revision/')) return void json({ _id: '1', id: 'me/small', sha: COMMIT })
  if (url.pathname.includes('/tree/')) {
    const entries = Object.entries(files).map(([path, body]) => {
      const large = path.endsWith('.safetensors') ? { lfs: { oid: sha('sha256', body), size: body.length } } : {}
      return listed({ type: 'file', path, size: large.lfs ? 130 : body.length, oid: gitOid(body), ...large } as never)
    })
    return void json(entries)
  }
  const path = decodeURIComponent(
    url.pathname.split(`/resolve/${COMMIT}/`)[1] ?? url.pathname.slice('/storage/'.length),
  )
  const body = files[path]!
  if (!path.endsWith('.safetensors')) return void response.end(body)
  if (!url.pathname.startsWith('/storage/')) return void response.writeHead(302, { location: `/storage/${path}` }).end()
  if (sending?.(request, response)) return
  const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
  const head = from > 0 ? { 'content-range': `bytes ${from}-${body.length - 1}/${body.length}` } : {}
  response.writeHead(from > 0 ? 206 : 200, head).end(body.subarray(from))
}

beforeEach(async () => {
  cache = mkdtempSync(join(tmpdir(), 'hearth-hub-'))
  asked = []
  sending = undefined
  listed = (entry) => entry
  server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  options = { endpoint: `http://127.0.0.1:${port}`, cache, token: '', idleSeconds: 1 }
})
afterEach(() => {
  vi.unstubAllEnvs()
  server.closeAllConnections()
  server.close()
  rmSync(cache, { recursive: true, force: true })
})

const small = parseHubName('me/small')!
const repository = () => join(cache, 'models--me--small')

describe('a model by name', () => {
  test('comes with what loading needs and no more, into the layout that other programs use', async () => {
    const folder = await fetchModel(small, options)
    expect(folder).toBe(join(repository(), 'snapshots', COMMIT))
    expect(readdirSync(folder).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json'])
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true)
    expect(lstatSync(join(folder, 'config.json')).isSymbolicLink()).toBe(true)
    expect(readFileSync(join(repository(), 'refs/main'), 'utf8')).toBe(COMMIT)
    expect(existsSync(join(repository(), 'blobs', sha('sha256', weights)))).toBe(true)
  })

  test('is fetched once, and then found without the network', async () => {
    const folder = await fetchModel(small, options)
    const before = asked.length
    await fetchModel(small, options)
    expect(asked.slice(before).filter((line) => line.includes('/resolve/'))).toEqual([])
    const alone = { ...options, endpoint: 'http://127.0.0.1:1' }
    expect(await fetchModel(small, alone)).toBe(folder)
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    expect(await fetchModel(small, alone)).toBe(folder)
    await expect(fetchModel(parseHubName('me/other')!, alone)).rejects.toThrow(/not in the cache.*HF_HUB_OFFLINE/)
  })

  test('that lies there whole and in parts comes whole', async () => {
    files['model-00001-of-00002.safetensors'] = Buffer.from('a part')
    const folder = await fetchModel(small, options)
    delete files['model-00001-of-00002.safetensors']
    expect(readdirSync(folder)).not.toContain('model-00001-of-00002.safetensors')
  })

  test('goes on where the connection was cut', async () => {
    let cuts = 0
    sending = (request, response) => {
      if (++cuts > 2) return false
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      const range = { 'content-range': `bytes ${from}-${weights.length - 1}/${weights.length}` }
      response.writeHead(from > 0 ? 206 : 200, from > 0 ? range : {})
      response.write(weights.subarray(from, from + 100_000), () => setTimeout(() => response.destroy(), 50))
      return true
    }
    let most = 0
    const onProgress = (have: number) => (most = Math.max(most, have))
    const folder = await fetchModel(small, { ...options, onProgress })
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true)
    expect(asked.filter((line) => line.startsWith('bytes=') && line.includes('/storage/'))).toHaveLength(2)
    expect(most).toBe(weights.length + files['config.json']!.length + files['tokenizer.json']!.length)
  })

  test('a server that goes silent is given up, with what came kept', async () => {
    sending = (_, response) => {
      response.writeHead(200)
      response.write(weights.subarray(0, 1000))
      return true
    }
    await expect(fetchModel(small, { ...options, idleSeconds: 0.05 })).rejects.toThrow(/cannot be read[\s\S]*is kept/)
  })

  test('changed contents are refused, and never get a name', async () => {
    sending = (_, response) => {
      response.end(Buffer.from(weights).fill(1, 5, 6))
      return true
    }
    await expect(fetchModel(small, options)).rejects.toThrow(/model\.safetensors does not have its checksum, twice/)
    expect(readdirSync(join(repository(), 'blobs'))).not.toContain(sha('sha256', weights))
    expect(existsSync(join(repository(), 'snapshots'))).toBe(false)
  })

  test('more bytes than promised are not taken', async () => {
    sending = (_, response) => {
      response.end(Buffer.concat([weights, weights]))
      return true
    }
    await expect(fetchModel(small, options)).rejects.toThrow(
      /more arrives for model\.safetensors than the 300000 bytes/,
    )
  })

  test('what is not there, or not for everybody, is said with what to do', async () => {
    await expect(fetchModel(parseHubName('me/nothing')!, options)).rejects.toThrow(/answers 404[\s\S]*check the name/)
    await expect(fetchModel(parseHubName('me/secret')!, options)).rejects.toThrow(/answers 401[\s\S]*HF_TOKEN/)
    const folder = await fetchModel(parseHubName('me/secret')!, { ...options, token: 'hf_right' })
    expect(existsSync(join(folder, 'config.json'))).toBe(true)
    await expect(fetchModel(small, { ...options, endpoint: 'http://127.0.0.1:1' })).rejects.toThrow(/HF_ENDPOINT/)
  })

  test.each([
    { path: '../../escape.json' },
    { path: 'a/../../b.json' },
    { path: '/etc/x.json' },
    { oid: '../../../etc' },
    { size: -1 },
  ])('a listing with %j is refused whole', async (wrong) => {
    listed = (entry) => (entry.path === 'config.json' ? { ...entry, ...wrong } : entry)
    await expect(fetchModel(small, options)).rejects.toThrow(/lists a file that cannot be/)
    expect(readdirSync(cache)).toEqual([])
  })
})

test('of a data set come the files that are asked for', async () => {
  const folder = await fetchDataset(small, (path) => path.includes('train'), options)
  expect(readFileSync(join(folder, 'data/train-0.jsonl'), 'utf8')).toBe('{"text":"a"}\n')
  expect(existsSync(join(folder, 'data/test-0.jsonl'))).toBe(false)
  expect(existsSync(join(cache, 'datasets--me--small'))).toBe(true)
})

describe('a name', () => {
  test.each([
    'gpt2',
    '../me',
    'me/..',
    'a/b/c',
    '/a/b',
    'me/small@',
    'me/small@..',
    'me/small@a//b',
    'a--b/c',
    './me/x',
    '',
  ])('%j is none', (word) => expect(parseHubName(word)).toBeUndefined())

  test('may have a revision', () => {
    expect(parseHubName('EleutherAI/pythia-160m@step3000')).toEqual({
      kind: 'model',
      repo: 'EleutherAI/pythia-160m',
      revision: 'step3000',
    })
  })
})
