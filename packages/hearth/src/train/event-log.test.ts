import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { EventLog, Goodput, readEvents } from './event-log.js'

test('goodput counts calm steps whole, and disturbed ones as the usual step', () => {
  const goodput = new Goodput()
  for (const seconds of [1, 1, 2]) goodput.add(seconds, false)
  goodput.add(4, true)
  expect(goodput.value).toEqual({ goodput: 5 / 8, steps: 4, seconds: 8 })
})

test('a line that a crash tore is left out, and the others are read', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-events-'))
  const path = join(folder, 'events.jsonl')
  const told: unknown[] = []
  const fail = (error: Error) => {
    throw error
  }
  const log = new EventLog(path, (event) => told.push(event), fail)
  const event = { kind: 'refused', step: 3, batch: 2, reason: 'not finite', action: 'again' } as const
  log.write(event)
  log.close()
  appendFileSync(path, '{"time":"2026-')
  expect(readEvents(path)).toMatchObject([event])
  expect(told).toEqual([event])
  expect(readEvents(join(folder, 'none'))).toEqual([])
  rmSync(folder, { recursive: true })
})
