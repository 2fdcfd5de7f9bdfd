// A model by name through the real command: fetched from a hub on loopback, found again offline, and refused with a word.
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fixture, hearth } from './hearth.js'

const folder = fixture('llama_gqa')
const COMMIT = 'c'.repeat(40)
let server: Server
let cwd: string
let env: NodeJS.ProcessEnv

beforeAll(async () => {
  cwd = mkdtempSync(join(tmpdir(), 'hearth-hub-'))
  writeFileSync(join(cwd, 'ids.json'), '[1, 2, 3, 4]')
  const files = readdirSync(folder).filter((name) => /\.(json|safetensors)$/.test(name))
  server = createServer((request, response) => {
    const url = new URL(request.url!, 'http://hub')
    const json = (body: unknown, status = 200) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    if (!url.pathname.includes('/me/tiny')) return void json({ error: 'Repository not found' }, 404)
    if (url.pathname.includes('/revision/')) return void json({ _id: '1', id: 'me/tiny', sha: COMMIT })
    const bodyOf = (path: string) => readFileSync(join(folder, path))
    if (!url.pathname.includes('/tree/')) return void response.end(bodyOf(url.pathname.split('/').at(-1)!))
    const oid = (body: Buffer) => createHash('sha1').update(`blob ${body.length}\0`).update(body).digest('hex')
    json(files.map((path) => ({ type: 'file', path, size: bodyOf(path).length, oid: oid(bodyOf(path)) })))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  env = { HF_ENDPOINT: endpoint, HF_HOME: join(cwd, 'hf'), HF_HUB_CACHE: undefined, HF_TOKEN: '' }
})
afterAll(() => {
  server.close()
  rmSync(cwd, { recursive: true, force: true })
})

test('a model by name is fetched, and then used without the network', async () => {
  const first = await hearth(['score', 'me/tiny', '--ids', 'ids.json'], { cwd, env })
  expect(first.stderr).toBe('')
  const local = await hearth(['score', folder, '--ids', 'ids.json'], { cwd, env })
  expect(first.stdout.split('\n')[0]).toBe(local.stdout.split('\n')[0])
  const offline = { ...env, HF_ENDPOINT: 'http://127.0.0.1:1', HF_HUB_OFFLINE: '1' }
  const again = await hearth(['score', 'me/tiny', '--ids', 'ids.json'], { cwd, env: offline })
  expect(again.stdout).toBe(first.stdout)
})

test('a name that the hub does not know is refused, with both meanings of the word', async () => {
  const { code, stderr } = await hearth(['score', 'me/nothing', '--ids', 'ids.json'], { cwd, env })
  expect(code).toBe(1)
  expect(stderr).toMatch(/no model folder and no run "me\/nothing"[\s\S]*answers 404[\s\S]*check the name/)
})
