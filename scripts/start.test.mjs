import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { inRoot, root } from './setup/paths.mjs'

const run = promisify(execFile)
const recorded = inRoot('fixtures/models/gpt2')

/** What `npm start -- inspect MODEL --json` says, called from that folder. */
async function inspect(model, { from, npm = [] }) {
  const args = [...npm, 'start', '--silent', '--', 'inspect', model, '--json']
  const { stdout } = await run('npm', args, { cwd: from })
  return JSON.parse(stdout)
}

describe('a relative path given to `npm start`', () => {
  test('begins at the folder of the repository that the user is in', async () => {
    const said = await inspect('../models/gpt2', { from: inRoot('fixtures/tokenizers') })
    expect(said).toMatchObject({ kind: 'model', path: '../models/gpt2' })
  })

  test('begins at any other folder, with npm pointed at the repository', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hearth-start-'))
    cpSync(recorded, join(folder, 'mine'), { recursive: true })
    const said = await inspect('mine', { from: folder, npm: ['--prefix', root] })
    expect(said).toMatchObject({ kind: 'model', path: 'mine' })
  })

  test('begins where the process is when npm started something else', async () => {
    const env = { ...process.env, INIT_CWD: tmpdir(), npm_lifecycle_event: 'test' }
    const args = [inRoot('scripts/start.mjs'), 'inspect', 'fixtures/models/gpt2', '--json']
    const { stdout } = await run(process.execPath, args, { cwd: root, env })
    expect(JSON.parse(stdout)).toMatchObject({ kind: 'model' })
  })
})
