import type { RunEvent } from 'hearth/train'
import { expect, test } from 'vitest'
import { Progress } from './progress.js'
import { withoutControls } from './terminal.js'
import { recordedTerminal } from './terminal-recording.js'

const step = (number: number): RunEvent => ({
  kind: 'step',
  step: { number, batch: number - 1, loss: 3.14159, learningRate: 1e-3, gradientNorm: 1, size: 512, seconds: 0.5 },
  of: 100,
  tokensPerSecond: 1024,
  modelFlopUtilisation: 0.41,
  memoryBytes: 2 ** 30,
})

const shown = (...events: RunEvent[]): string[] => {
  const terminal = recordedTerminal()
  const progress = new Progress(terminal)
  events.forEach(progress.report)
  progress.close()
  return terminal.err.trimEnd().split('\n')
}

test('where a line cannot be rewritten, the first and the last step are shown, not every one', () => {
  const lines = shown(...Array.from({ length: 100 }, (_, i) => step(i + 1)))
  expect(lines).toEqual([
    '1/100  loss 3.142  50 s left  1.02k tok/s  41% MFU  1.00 GiB',
    '100/100  loss 3.142  0 s left  1.02k tok/s  41% MFU  1.00 GiB',
  ])
})

test('a phase is named when it begins, with how far it is', () => {
  const phase = (done: number): RunEvent => ({ kind: 'phase', phase: 'tokens', detail: 'books', done, of: 4 })
  expect(shown(phase(0), phase(1), phase(2))).toEqual(['Writing tokens: books 0%'])
})

test('measurements, samples and warnings stay, and the newest bits per byte is beside the loss', () => {
  const heldOut = { loss: 2, perplexity: 7.4, bitsPerByte: 1.5, tokens: 10 }
  const lines = shown(
    { kind: 'evaluation', step: 1, heldOut },
    { kind: 'sample', step: 1, text: 'Call\n me' },
    { kind: 'warning', message: 'full' },
    step(2),
  )
  expect(lines).toEqual([
    '  step 1: held-out loss 2.000, 1.500 bits per byte',
    '  step 1 writes: Call me',
    'warning: full',
    '2/100  loss 3.142  49 s left  1.02k tok/s  1.500 bits/byte  41% MFU  1.00 GiB',
  ])
})

test('a measurement that says the same once more is shown once', () => {
  const heldOut = { loss: 2, perplexity: 7.4, bitsPerByte: 1.5, tokens: 10 }
  const event = { kind: 'evaluation', step: 9, heldOut } as const
  expect(shown(event, event)).toHaveLength(1)
})

test('what a sample holds of control characters does not reach the terminal', () => {
  const text = 'a\u001b]0;title\u0007b\u001b[2J\rc\td\ne'
  expect(shown({ kind: 'sample', step: 1, text })).toEqual(['  step 1 writes: a]0;titleb[2Jc d e'])
  expect(withoutControls(text)).toBe('a]0;titleb[2Jc\td\ne')
})
