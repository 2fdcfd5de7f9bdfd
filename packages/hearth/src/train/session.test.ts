// A run in this process whose memory flips bits between its steps: it is noticed, named, and healed, to the same bits.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { resolveConfig, type RunConfig } from './config.js'
import { readEvents } from './event-log.js'
import { createRun } from './run-folder.js'
import { Session } from './session.js'
import { prepareText } from './text-data.js'

const root = mkdtempSync(join(tmpdir(), 'hearth-session-'))
const texts = join(root, 'texts.txt')
const sizes = { hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1 }
const LAST = 12
beforeAll(() => {
  const words = 'the a fire log ash ember spark burns glows falls warm cold night morning and'.split(' ')
  writeFileSync(texts, Array.from({ length: 3000 }, (_, i) => words[(i * i * 3 + i) % words.length]).join(' '))
})
afterAll(() => rmSync(root, { recursive: true }))

const config = (name: string, changes: { updateInBackward?: boolean }): RunConfig =>
  resolveConfig({
    ...{
      name,
      steps: LAST,
      batch: 2,
      slots: 1,
      sequenceLength: 16,
      dtype: 'float32',
      activationCheckpointing: true,
      ...changes,
    },
    model: { preset: 'spark', config: { ...sizes, intermediate_size: 64 } },
    tokenizer: { vocabularySize: 300 },
    data: { sources: [{ path: texts }], heldOutFraction: 0 },
    optimizer: { learningRate: 1e-3 },
    schedule: { warmupSteps: 3 },
    every: { log: 1, evaluate: 1000, checkpoint: 4 },
    guard: { hashEvery: 1 },
  })

function flip({ trainer }: Session, choice: number): string {
  const { tensors } = trainer.state
  const names = Object.keys(tensors)
  const name = names[choice % names.length]!
  const { buffer, byteOffset, byteLength } = tensors[name]!.data()
  new Uint8Array(buffer, byteOffset, byteLength)[choice % byteLength]! ^= 1 << (choice % 8)
  return name
}

/** Trains with saves every 4 steps; `disturb` is told of every step that was done. */
async function trained(name: string, disturb: (session: Session, step: number) => void, changes = {}) {
  using run = createRun(join(root, name), { config: config(name, changes) })
  const data = await prepareText(run.config, run.folder, { report: () => undefined })
  const session = new Session(run, data, 'float32', () => undefined)
  const steps: number[] = []
  for await (const { number } of session.steps(LAST)) {
    steps.push(number)
    disturb(session, number)
    if (number % 4 === 0) expect(await session.save()).toBeUndefined()
  }
  const bits = Object.entries(session.trainer.state.tensors).map(([name, tensor]) => [name, tensor.toArray()] as const)
  const found = readEvents(run.paths.events).filter(({ kind }) => kind === 'corrupt')
  return { steps, found, bits }
}

test.each([false, true])(
  'a bit that flips is found, by the name of its tensor, before it counts; updateInBackward=%s',
  async (updateInBackward) => {
    const calm = await trained(`calm-${updateInBackward}`, () => undefined, { updateInBackward })
    const flipped: string[] = []
    const once = new Set([2, 6, 8, LAST])
    const disturb = (session: Session, step: number) => once.delete(step) && flipped.push(flip(session, 7919 * step))
    const { steps, found, bits } = await trained(`flips-${updateInBackward}`, disturb, { updateInBackward })
    expect(bits).toEqual(calm.bits)
    const healedBy = 'a checkpoint'
    expect(found).toMatchObject([2, 6, 8, LAST].map((step, i) => ({ step, tensors: [flipped[i]], healedBy })))
    // Back to the beginning, to step 4, and twice more: before 8 is saved, and with the last one before 12 is.
    expect(steps).toEqual([1, 2, 1, 2, 3, 4, 5, 6, 5, 6, 7, 8, 5, 6, 7, 8, 9, 10, 11, 12, 9, 10, 11, 12])
  },
)

test('memory that flips the same bits again and again ends the run with what to do', async () => {
  const trying = trained('unsound', (session, step) => step === 3 && flip(session, 104_729))
  await expect(trying).rejects.toThrow(/memory has changed .* again, in the state of step 3/)
})
