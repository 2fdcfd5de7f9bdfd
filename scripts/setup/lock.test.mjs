import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { inRoot } from './paths.mjs'
import { withLock } from './lock.mjs'

const newLock = () => join(mkdtempSync(join(tmpdir(), 'hearth-lock-')), 'lock')

test('the lock is held during the work and free after it, also when the work fails', async () => {
  const file = newLock()
  const pid = await withLock(file, () => JSON.parse(readFileSync(file, 'utf8')).pid)
  expect(pid).toBe(process.pid)
  expect(existsSync(file)).toBe(false)
  await expect(withLock(file, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(existsSync(file)).toBe(false)
})

test('a lock left by a dead process, by a process before it with the same pid, or damaged, is taken over', async () => {
  const dead = JSON.stringify({ pid: 2 ** 22 + 1, started: '1' })
  const reused = JSON.stringify({ pid: process.pid, started: '1' })
  for (const left of [dead, reused, '', '{"pid":']) {
    const file = newLock()
    writeFileSync(file, left)
    expect(await withLock(file, () => 'done')).toBe('done')
    expect(existsSync(file)).toBe(false)
  }
})

test('several processes that take over the same stale lock work one after the other', async () => {
  const file = newLock()
  const log = `${file}.log`
  writeFileSync(file, JSON.stringify({ pid: 2 ** 22 + 1, started: '1' }))
  const script = `
    import { appendFileSync } from 'node:fs'
    import { setTimeout as delay } from 'node:timers/promises'
    import { withLock } from ${JSON.stringify(inRoot('scripts/setup/lock.mjs'))}
    await withLock(${JSON.stringify(file)}, async () => {
      appendFileSync(${JSON.stringify(log)}, 'in ')
      await delay(20)
      appendFileSync(${JSON.stringify(log)}, 'out ')
    })`
  const ends = Array.from({ length: 4 }, () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' })
    return new Promise((resolve) => child.on('close', resolve))
  })
  expect(await Promise.all(ends)).toEqual([0, 0, 0, 0])
  expect(readFileSync(log, 'utf8')).toBe('in out '.repeat(4))
})
