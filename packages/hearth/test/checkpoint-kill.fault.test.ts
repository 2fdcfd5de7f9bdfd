// The same invariant with a real process, a real disk and a real SIGKILL.
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { loadLatest, realStorage, saveCheckpoint } from 'hearth/checkpoint'
import { tensor } from '@hearth/torch'
import { afterAll, expect, test } from 'vitest'
import { seededRandom } from './fault-storage.js'

const dir = mkdtempSync(join(tmpdir(), 'hearth-kill-'))
afterAll(() => rmSync(dir, { recursive: true }))

/** Lets a process save until it is killed, `delay` ms after its first acknowledgement; the last step acknowledged. */
function saveUntilKilled(first: number, delay: number): Promise<number> {
  const saver = fileURLToPath(new URL('checkpoint-saver.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', saver, dir, String(first)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let acknowledged = first - 1
  createInterface(child.stdout).on('line', (line) => {
    if (acknowledged < first) setTimeout(() => child.kill('SIGKILL'), delay)
    acknowledged = Number(line)
  })
  return new Promise((resolve, reject) => {
    child.on('close', (_, signal) => {
      if (signal === 'SIGKILL') resolve(acknowledged)
      else reject(new Error('the saver ended by itself'))
    })
  })
}

test('a process killed at any instant of saving and pruning loses nothing that was acknowledged', async () => {
  const random = seededRandom(7)
  let next = 1
  for (let round = 0; round < 4; round++) {
    const acknowledged = await saveUntilKilled(next, random() * 100)
    expect(acknowledged).toBeGreaterThanOrEqual(next)
    const onRefused = () => expect.unreachable('a killed process leaves no damaged checkpoint')
    using latest = (await loadLatest(realStorage, dir, { onRefused }))!
    expect(latest.step).toBeGreaterThanOrEqual(acknowledged)
    expect(latest.meta).toEqual({ step: latest.step })
    for (const name of ['a', 'b']) expect(latest.tensor(name).eq(latest.step).all().item()).toBe(1)
    next = latest.step + 1
  }
  await saveCheckpoint(realStorage, dir, { step: next, tensors: { a: tensor([1]) }, meta: {} })
  expect(readdirSync(dir).filter((name) => !/^step-\d{8}$/.test(name))).toEqual([])
})
