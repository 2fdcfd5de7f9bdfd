import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { downsample, MetricColumns } from './index.js'

const folder = mkdtempSync(join(tmpdir(), 'hearth-curves-'))
afterAll(() => rmSync(folder, { recursive: true }))

const line = (step: number, loss: number | null) => `${JSON.stringify({ step, loss, time: 'now' })}\n`
const lines = (count: number, loss: (step: number) => number) =>
  Array.from({ length: count }, (_, i) => line(i + 1, loss(i + 1))).join('')

describe('columns of a metrics file', () => {
  test('follow what is appended, leave out torn lines, and know a step that was measured again', async () => {
    const path = join(folder, 'growing.jsonl')
    writeFileSync(path, `{"format":"hearth-metrics"}\n${line(1, 3)}${line(2, null)}{"step":3,"lo`)
    const columns = new MetricColumns(path)
    expect([...(await columns.read()).loss]).toEqual([3, NaN])
    appendFileSync(path, `ss":1}\n${line(4, 0.5)}no json\n${line(3, 0.75)}`)
    const { step, loss } = await columns.read()
    expect([...step]).toEqual([1, 2, 3])
    expect([...loss]).toEqual([3, NaN, 0.75])
  })

  test('begin anew when the file was cut, and are empty when it is gone', async () => {
    const path = join(folder, 'cut.jsonl')
    writeFileSync(
      path,
      lines(100, (step) => step),
    )
    const columns = new MetricColumns(path)
    expect((await columns.read()).step).toHaveLength(100)
    truncateSync(path, line(1, 1).length * 3)
    expect((await columns.read()).step).toHaveLength(3)
    rmSync(path)
    expect((await columns.read()).step).toHaveLength(0)
  })
})

describe('a curve of 300,000 points', () => {
  test('keeps the one spike, the mean and the range, in a few milliseconds', async () => {
    const path = join(folder, 'long.jsonl')
    writeFileSync(
      path,
      lines(300_000, (step) => (step === 123_456 ? 99 : 1)),
    )
    const columns = await new MetricColumns(path).read()
    const started = performance.now()
    const curve = downsample(columns, 'loss', { buckets: 600 })
    expect(performance.now() - started).toBeLessThan(100)
    expect(curve.points).toBe(300_000)
    expect(curve.step).toHaveLength(600)
    expect(curve.largest.filter((value) => value === 99)).toHaveLength(1)
    expect(curve.least.every((value) => value === 1)).toBe(true)
    const part = downsample(columns, 'loss', { from: 123_450, to: 123_460, buckets: 600 })
    expect(part.step).toEqual(Array.from({ length: 11 }, (_, i) => 123_450 + i))
  })

  test('that has no values is empty', async () => {
    const columns = await new MetricColumns(join(folder, 'none.jsonl')).read()
    expect(downsample(columns, 'heldOutLoss', { buckets: 10 })).toMatchObject({ step: [], points: 0 })
  })
})
