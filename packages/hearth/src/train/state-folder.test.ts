import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { findStateFolder, makeStateFolder } from './state-folder.js'

let root: string
const runFolder = (name: string) => join(root, 'runs', name)
/** A run that was killed: its state lies where it was. */
const killedRun = (name: string): string => {
  mkdirSync(runFolder(name), { recursive: true })
  const folder = makeStateFolder(runFolder(name), 1)
  writeFileSync(join(folder, 'state'), '')
  return folder
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'hearth-state-folder-'))
  mkdirSync(join(root, 'shm'))
  vi.stubEnv('HEARTH_STATE', join(root, 'shm'))
})
afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(root, { recursive: true })
})

test('a state whose run was removed goes when the next run makes its own; others stay', () => {
  const [removed, kept] = [killedRun('removed'), killedRun('kept')]
  rmSync(runFolder('removed'), { recursive: true })
  const made = killedRun('new')
  expect([removed, kept, made].map((folder) => existsSync(folder))).toEqual([false, true, true])
  expect(findStateFolder(runFolder('kept'))).toBe(kept)
})
