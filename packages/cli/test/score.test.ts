// `hearth score` on models recorded from PyTorch: the same logits, and the loss that follows from them, through files and another process.
import { readSafetensors } from '@hearth/torch'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fixture, hearth } from './hearth.js'

const families = ['gpt2', 'llama', 'llama_gqa', 'gpt_neox', 'gpt_neox_sequential']
let cwd: string
beforeAll(() => {
  cwd = mkdtempSync(join(tmpdir(), 'hearth-score-'))
})
afterAll(() => rmSync(cwd, { recursive: true }))

interface Answer {
  loss: number
  perplexity: number
  tokens: number
  lastLogits: number[] | number[][]
}

/** The recorded ids (two rows), the logits after each row, and the loss that the recorded logits amount to. */
function recorded(family: string) {
  using file = readSafetensors(fixture(`${family}.safetensors`))
  const ids = file.tensor('long.ids').toNested() as number[][]
  const logits = file.tensor('long.logits').toNested() as number[][][]
  const nats = ids.flatMap((row, b) => row.slice(1).map((id, t) => natsOf(logits[b]![t]!, id)))
  return { ids, last: logits.map((row) => row.at(-1)!), loss: nats.reduce((sum, each) => sum + each, 0) / nats.length }
}

/** -log softmax(logits)[id], in float64. */
function natsOf(logits: readonly number[], id: number): number {
  const largest = Math.max(...logits)
  return largest + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - largest), 0)) - logits[id]!
}

async function score(family: string, ids: unknown): Promise<Answer> {
  const file = join(cwd, `${family}-${Math.random()}.json`)
  writeFileSync(file, JSON.stringify(ids))
  const { stdout, stderr, code } = await hearth(['score', fixture(family), '--ids', file, '--last-logits', '--json'])
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return JSON.parse(stdout) as Answer
}

function expectClose(got: readonly number[], expected: readonly number[]): void {
  const difference = Math.hypot(...got.map((value, i) => value - expected[i]!))
  expect(difference / Math.hypot(...expected)).toBeLessThan(1e-5)
}

describe.each(families)('of %s', (family) => {
  test('several arrays of ids give the mean loss of all, and the logits after each', async () => {
    const { ids, last, loss } = recorded(family)
    const answer = await score(family, ids)
    expect(Math.abs(answer.loss - loss) / loss).toBeLessThan(1e-5)
    expect(answer.perplexity).toBeCloseTo(Math.exp(answer.loss), 8)
    expect(answer.tokens).toBe(2 * 15)
    const rows = answer.lastLogits as number[][]
    rows.forEach((row, i) => expectClose(row, last[i]!))
  })

  test('one array of ids gives one array of logits', async () => {
    const { ids, last } = recorded(family)
    expectClose((await score(family, ids[0])).lastLogits as number[], last[0]!)
  })
})

test('more ids than the context are read in windows, and each but the first is predicted once', async () => {
  const ids = Array.from({ length: 100 }, (_, i) => (i * 7) % 90)
  const { tokens, loss } = await score('gpt2', ids)
  expect(tokens).toBe(99)
  expect(loss).toBeGreaterThan(1)
})

test('for people the answer is a few lines', async () => {
  const file = join(cwd, 'ids.json')
  writeFileSync(file, '[1, 2, 3]')
  const { stdout } = await hearth(['score', fixture('gpt2'), '--ids', file])
  expect(stdout).toMatch(/^loss +\d+\.\d{5} nats per token, over 2 tokens\nperplexity +\d+\.\d{3}\n$/)
})
