import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AppendFile } from './metrics-append-file.js'
import { MetricsLog, readLastMetrics, readMetrics } from './metrics.js'
import type { StepMetrics } from './metrics.js'

let dir: string
let path: string
const never = () => expect.unreachable('the disk is fine')
const options = { afterStep: 0, flopConvention: '6N', onProblem: never }
const at = (step: number): StepMetrics => ({
  step,
  loss: 1 / step,
  learningRate: 0.001,
  gradientNorm: 0.5,
  tokensPerSecond: 1000,
  memoryBytes: 1e9,
  time: '2026-01-31T12:00:00.000Z',
})
const logged = () => readMetrics(path).steps.map(({ step }) => step)

/** Logs these steps as a process that starts after `afterStep`. */
function log(steps: number[], afterStep = 0): void {
  const metrics = new MetricsLog(path, { ...options, afterStep })
  for (const step of steps) metrics.write(at(step))
  metrics.close()
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'hearth-metrics-'))
  path = join(dir, 'metrics.jsonl')
})
afterEach(() => rmSync(dir, { recursive: true }))

describe('metrics.jsonl', () => {
  test('gives back what was logged, and the convention of its utilisation once', () => {
    log([1, 2])
    expect(readMetrics(path)).toEqual({ flopConvention: '6N', steps: [at(1), at(2)] })
    expect(readFileSync(path, 'utf8').match(/6N/g)).toHaveLength(1)
  })

  test('is one JSON object a line, on disk at once', () => {
    const metrics = new MetricsLog(path, options)
    metrics.write({ ...at(1), heldOutLoss: 2 })
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line) as unknown)[1]).toEqual({ ...at(1), heldOutLoss: 2 })
    metrics.close()
  })

  test('shows a loss that is not a number as such', () => {
    const metrics = new MetricsLog(path, options)
    metrics.write({ ...at(1), loss: NaN, gradientNorm: Infinity })
    metrics.close()
    expect(readMetrics(path).steps[0]).toMatchObject({ loss: NaN, gradientNorm: NaN })
  })

  test('is read without its torn last line, and without lines that are damaged', () => {
    log([1, 2])
    appendFileSync(path, '\0\0\0\n{"step":"three"}\nnull\n{"step":3,"loss":0.')
    expect(logged()).toEqual([1, 2])
    expect(readLastMetrics(path).map(({ step }) => step)).toEqual([1, 2])
  })

  test('is read as empty when it is not there', () => {
    expect(readMetrics(path).steps).toEqual([])
    expect(readLastMetrics(path)).toEqual([])
  })

  test.each([0, 1, 3, 5, 9])('has no step twice when a run goes on after step %d', (afterStep) => {
    log([1, 2, 3, 4, 5])
    log([afterStep + 1, afterStep + 2], afterStep)
    const kept = [1, 2, 3, 4, 5].filter((step) => step <= afterStep)
    expect(logged()).toEqual([...kept, afterStep + 1, afterStep + 2])
    expect(readMetrics(path).flopConvention).toBe('6N')
  })

  test('goes on cleanly after a line that was torn, wherever it was torn', () => {
    log([1, 2])
    const whole = readFileSync(path)
    for (let length = 0; length <= whole.length; length++) {
      writeFileSync(path, whole.subarray(0, length))
      log([3], 2)
      const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
      for (const line of lines) expect(() => JSON.parse(line) as unknown).not.toThrow()
      expect(readMetrics(path).flopConvention).toBe('6N')
      expect(logged().at(-1)).toBe(3)
    }
  })

  test('gives the last steps of a long file without reading it all', () => {
    log(Array.from({ length: 2000 }, (_, i) => i + 1))
    const last = readLastMetrics(path)
    expect(last.at(-1)?.step).toBe(2000)
    expect(last.length).toBeLessThan(1000)
  })
})

describe('a log on a full disk', () => {
  test('says so once, and does not stop the run', () => {
    const problems: string[] = []
    const file = new AppendFile('/dev/full', (error) => problems.push((error as NodeJS.ErrnoException).code!))
    for (let i = 0; i < 3; i++) file.append(Buffer.from('line\n'))
    file.sync()
    file.close()
    expect(problems).toEqual(['ENOSPC'])
  })
})
