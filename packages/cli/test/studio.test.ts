// The Studio in a real browser, where there is one: Debian's chromium. Each page by its main path and one failure.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { serve, type Server } from 'hearth/serve'
import { studio } from 'hearth/studio'
import { createRun } from 'hearth/train'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
const page = join(dirname(fileURLToPath(import.meta.url)), '../../studio/dist/page')

let folder: string, server: Server, browser: Browser, tab: Page
const said: string[] = []

function writeRun(name: string, steps: number, events: readonly object[] = []): void {
  const run = createRun(join(folder, 'runs', name), { config: { steps } })
  const line = (step: number) =>
    JSON.stringify({ step, loss: 2 + 5 / Math.sqrt(step), learningRate: 0.001, tokensPerSecond: 900 })
  writeFileSync(run.paths.metrics, Array.from({ length: steps }, (_, i) => `${line(i + 1)}\n`).join(''))
  const time = (at: number) => new Date(1.7e12 + 1000 * at).toISOString()
  writeFileSync(
    run.paths.events,
    events.map((event, at) => `${JSON.stringify({ time: time(at), ...event })}\n`).join(''),
  )
  run.close('finished')
}

const open = (port: number) =>
  serve({ models: [], port, plugins: [studio({ page, runs: join(folder, 'runs'), models: join(folder, 'models') })] })

const missing = !existsSync(CHROMIUM)
if (missing)
  console.warn(`The Studio is not tested in a browser: there is no ${CHROMIUM}. sudo apt-get install chromium`)

test('the page is below 500 kB compressed', () => {
  const files = readdirSync(page, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const size = files.reduce(
    (sum, { parentPath, name }) => sum + gzipSync(readFileSync(join(parentPath, name))).length,
    0,
  )
  expect(size).toBeGreaterThan(10_000)
  expect(size).toBeLessThan(500_000)
})

describe.skipIf(missing)('in a browser', () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'hearth-studio-browser-'))
    mkdirSync(join(folder, 'runs'))
    server = await open(0)
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
    tab = await browser.newPage({ viewport: { width: 1300, height: 900 } })
    tab.setDefaultTimeout(8000)
    tab.on('console', (message) => said.push(message.text()))
    tab.on('pageerror', (error) => said.push(error.message))
  })
  afterAll(async () => {
    await browser.close()
    await server.close()
    rmSync(folder, { recursive: true })
  })

  const chartSays = (words: string) => tab.locator(`.chart [role=img][aria-label*="${words}"]`).first().waitFor()

  test('an empty Studio says how to begin; a run that appears is drawn, with what happened to its workers', async () => {
    await tab.goto(server.url)
    await tab.getByText('npx hearth quickstart').waitFor()
    writeRun('first', 300, [
      { kind: 'worker-started', worker: 0, pid: 1, seconds: 1 },
      { kind: 'worker-lost', worker: 0, pid: 1, reason: '<b>killed</b>', noticedAfterSeconds: 0.1 },
      { kind: 'goodput', step: 300, goodput: 0.97, steps: 300, seconds: 9 },
    ])
    await chartSays('first: 2.29')
    await tab.getByText('1 worker over time, 1 lost and replaced').waitFor()
    await tab.getByText('97.0 %').waitFor()
    // What a run wrote is text and nothing else.
    await tab.getByRole('cell', { name: 'reason <b>killed</b>' }).waitFor()
  })

  test('a second run is drawn over the first, and dragging looks closer', async () => {
    writeRun('second', 100)
    await tab.locator('.run', { hasText: 'second' }).click()
    await chartSays('second: 2.50')
    const box = (await tab.locator('.chart .u-over').first().boundingBox())!
    await tab.mouse.move(box.x + 20, box.y + 40)
    await tab.mouse.down()
    await tab.mouse.move(box.x + 120, box.y + 40, { steps: 4 })
    await tab.mouse.up()
    await tab.getByRole('button', { name: 'all steps' }).click()
    await tab.getByText('Drag over a chart').waitFor()
  })

  test('a run that vanishes, and a server that goes and comes back, get a clear word; the page recovers', async () => {
    renameSync(join(folder, 'runs/second'), join(folder, 'gone'))
    await tab.getByText('second: the folder is gone').waitFor()
    const { port } = new URL(server.url)
    await server.close()
    await tab.getByText('The server does not answer').first().waitFor()
    server = await open(Number(port))
    await tab.getByText('The server does not answer').first().waitFor({ state: 'detached' })
    await chartSays('first: 2.29')
  })

  test('lists models, and says what is wrong with one', async () => {
    await tab.getByRole('link', { name: 'Models' }).click()
    await tab.getByText('no folder of models yet').waitFor()
    const model = join(folder, 'runs/first/model')
    mkdirSync(model)
    writeFileSync(join(model, 'config.json'), '{"model_type":"<i>nope</i>"}')
    await tab.getByText('"<i>nope</i>" is not a family that Hearth knows').waitFor()
  })

  test('plans by keyboard, draws the ceiling, and says what is wrong', async () => {
    said.length = 0
    await tab.getByRole('link', { name: 'Plan' }).click()
    await tab.getByText('It fits').waitFor()
    await chartSays('parameters')
    const devices = tab.getByRole('slider', { name: 'Devices' })
    await devices.focus()
    await tab.keyboard.press('ArrowRight')
    await tab.getByText('pythia-1.4b on 16 × h100').waitFor()
    await tab.getByRole('combobox', { name: 'Model' }).fill('0x0')
    await tab.getByText(/model: 0x0: 4 problems/).waitFor()
    await tab.getByRole('textbox', { name: 'Price' }).fill('0')
    await tab
      .getByText(/price: must be above 0/)
      .first()
      .waitFor()
    // Refusals are told by the browser too; nothing else, above all no breach of the content policy.
    expect(said.filter((text) => !text.includes('400 (Bad Request)'))).toEqual([])
  })
})
