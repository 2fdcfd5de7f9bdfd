// The Studio's server as a browser meets it, and those that may not speak to it.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { preset } from '../src/models/index.js'
import { serve, type Server } from '../src/serve/index.js'
import { studio } from '../src/studio/index.js'
import { createRun } from '../src/train/index.js'

let folder: string, server: Server
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hearth-studio-'))
  mkdirSync(join(folder, 'page/assets'), { recursive: true })
  writeFileSync(join(folder, 'page/index.html'), '<!doctype html><title>Hearth</title>')
  writeFileSync(join(folder, 'page/assets/index-abc.js'), 'void 0')
  writeFileSync(join(folder, 'secret.html'), 'a secret')
  const run = createRun(join(folder, 'runs/first'), { config: { steps: 10 } })
  const line = (step: number) => JSON.stringify({ step, loss: 5 - step / 10, learningRate: 0.1 })
  writeFileSync(run.paths.metrics, Array.from({ length: 10 }, (_, i) => `${line(i + 1)}\n`).join(''))
  run.close('finished')
  mkdirSync(join(folder, 'runs/broken'))
  writeFileSync(join(folder, 'runs/broken/config.json'), '{')
  server = await serve({
    models: [],
    port: 0,
    plugins: [studio({ page: join(folder, 'page'), runs: join(folder, 'runs'), models: join(folder, 'models') })],
  })
})
afterAll(async () => {
  await server.close()
  rmSync(folder, { recursive: true })
})

const get = (path: string, headers: Record<string, string> = {}) => fetch(server.url + path, { headers })
const json = async (path: string) => (await (await get(path)).json()) as Record<string, unknown>
const post = (path: string, body: unknown) =>
  fetch(server.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

describe('the page', () => {
  test('comes with a strict content policy', async () => {
    const answer = await get('/')
    expect(await answer.text()).toContain('<title>Hearth')
    expect(answer.headers.get('content-security-policy')).toMatch(/default-src 'none'; script-src 'self'/)
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    expect((await get('/assets/index-abc.js')).headers.get('cache-control')).toContain('immutable')
  })

  test('is all that is served of the disk', async () => {
    for (const path of ['/../secret.html', '/%2e%2e/secret.html', '/assets/..%2f..%2fsecret.html', '/secret.html'])
      expect((await get(path)).status).toBe(404)
  })

  test('is not for pages of others, nor under a name that is not this machine’s', async () => {
    expect((await get('/studio/api/runs', { origin: 'https://evil.example' })).status).toBe(403)
    const { port } = new URL(server.url)
    const status = await new Promise((resolve) => {
      const headers = { host: 'evil.example' }
      request({ port, host: '127.0.0.1', path: '/', headers }, ({ statusCode }) => resolve(statusCode)).end()
    })
    expect(status).toBe(403)
  })

  test('on a port that another program has is a clear error', async () => {
    const port = Number(new URL(server.url).port)
    await expect(serve({ models: [], port })).rejects.toThrow(/cannot listen on 127.0.0.1, port \d+: another program/)
  })

  test('that was not built is an error that says so', async () => {
    const plugins = [studio({ page: join(folder, 'nowhere'), runs: folder })]
    await expect(serve({ models: [], port: 0, plugins })).rejects.toThrow(/not built[^]*npm run setup/)
  })
})

describe('runs', () => {
  test('are listed with what is known of them, damaged ones too', async () => {
    const { runs } = (await json('/studio/api/runs')) as { runs: { name: string; state: string }[] }
    expect(runs.map(({ name, state }) => [name, state]).toSorted()).toEqual([
      ['broken', 'damaged'],
      ['first', 'finished'],
    ])
    expect(await json('/studio/api/runs/first')).toMatchObject({ step: 10, of: 10, config: { steps: 10 }, events: [] })
  })

  test('give curves of a range', async () => {
    const { curves, lastStep } = (await json(
      '/studio/api/runs/first/curves?metrics=loss,learningRate&from=4&to=6',
    )) as { lastStep: number; curves: Record<string, { step: number[]; mean: number[] }> }
    expect(lastStep).toBe(10)
    expect(curves.loss!.step).toEqual([4, 5, 6])
    expect(curves.loss!.mean).toEqual([4.6, 4.5, 4.4])
    expect(Object.keys(curves)).toEqual(['loss', 'learningRate'])
  })

  test('that vanished, and ranges that are none, get a clear word', async () => {
    const gone = await get('/studio/api/runs/..%2fsecret')
    expect([gone.status, await gone.text()]).toEqual([404, expect.stringMatching(/no run/)])
    expect((await get('/studio/api/runs/first/curves?buckets=1e9')).status).toBe(400)
  })
})

describe('models', () => {
  test('are listed with their sizes, broken ones with what is wrong', async () => {
    const { family, config } = preset('pythia-14m')
    for (const [path, text] of [
      ['models/good', JSON.stringify(family.toConfig(config))],
      ['models/torn', '{'],
      ['runs/first/model', '{"model_type":"nope"}'],
    ] as const) {
      mkdirSync(join(folder, path), { recursive: true })
      writeFileSync(join(folder, path, 'config.json'), text)
    }
    const { models } = (await json('/studio/api/models')) as { models: Record<string, unknown>[] }
    expect(models).toMatchObject([
      { name: 'first', from: 'run', problem: expect.stringMatching(/nope/) as string },
      { name: 'good', from: 'folder', family: 'gpt_neox', parameters: family.shape(config).parameters },
      { name: 'torn', problem: expect.stringMatching(/JSON/) as string },
    ])
  })
})

describe('planning', () => {
  test('plans, and names everything that is wrong', async () => {
    const plan = await post('/studio/api/plan', { model: 'pythia-160m', hardware: 'h100', tokens: '1B' })
    expect(await plan.json()).toMatchObject({ fits: true, model: { parameters: 162_322_944 } })
    const wrong = await post('/studio/api/plan', { model: 'pythia-160m', hardware: 'x', price: 0 })
    expect([wrong.status, await wrong.text()]).toEqual([
      400,
      expect.stringMatching(/hardware: .*price: must be above 0/),
    ])
    expect((await post('/studio/api/plan', { model: '/etc/passwd' })).status).toBe(400)
    expect((await post('/studio/api/plan', [1])).status).toBe(400)
  })

  test('draws the ceiling over the money', async () => {
    const answer = await post('/studio/api/ceilings', { hardware: 'h100', devices: 8, budget: 1000, days: 30 })
    const { curve, levers } = (await answer.json()) as { curve: { parameters: number }[]; levers: unknown[] }
    const sizes = curve.map(({ parameters }) => parameters)
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b))
    expect(levers.length).toBeGreaterThan(0)
  })
})
