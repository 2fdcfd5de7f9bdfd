import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { endLeftProcesses, noteProcess } from './left-processes.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hearth-left-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const sleeper = () => spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'], { stdio: 'ignore' })

test('a process that was noted is ended, also one that stands still, and is gone when that is said', async () => {
  const children = [sleeper(), sleeper()]
  const ends = children.map((child) => new Promise((resolve) => child.on('exit', (_, signal) => resolve(signal))))
  for (const { pid } of children) noteProcess(folder, pid!)
  children[1]!.kill('SIGSTOP')
  await endLeftProcesses(folder)
  expect(await Promise.all(ends)).toEqual(['SIGKILL', 'SIGKILL'])
  expect(existsSync(join(folder, 'processes'))).toBe(false)
})

test('a process that has the number of one that was noted, and another start, is left alone', async () => {
  const other = sleeper()
  try {
    writeFileSync(join(folder, 'processes'), `${other.pid} 1\n`)
    await endLeftProcesses(folder)
    expect([other.exitCode, other.signalCode]).toEqual([null, null])
    expect(other.kill(0)).toBe(true)
  } finally {
    other.kill('SIGKILL')
  }
})

test('a folder in which none was noted is no mistake', async () => {
  await expect(endLeftProcesses(join(folder, 'nothing'))).resolves.toBeUndefined()
})
