import { backward, noGrad, scope, tensor, type Tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { attachAdapter, createAdapter } from '../adapt/index.js'
import { RowBatches, RowSet, type Example, type RowBatch } from '../data/index.js'
import { createModel, logits, type LanguageModel } from '../models/index.js'
import { flattenTree } from '../tree/index.js'
import { recordedModel } from '../../test/recorded-models.js'
import { families } from '../models/index.js'
import { answers, dpo, kto, orpo, type RowLoss } from './row-objectives.js'
import { keepActivations, Segments } from './segments.js'

const base = recordedModel(families.llama!, 'llama', 'float64')
/** The base with an adapter that has learnt something, in float64. */
const model: LanguageModel = (() => {
  const adapter = createAdapter(base, { targets: 'all-linear', rank: 2 }, { seed: 3 })
  noGrad(() => Object.values(adapter.weights).forEach(({ b }) => b.normal_({ std: 0.1 })))
  return attachAdapter(base, adapter)
})()
const context = { runBlock: keepActivations, device: 'cpu' } as const

const sequence = (ids: number[], prompt: number) => ({
  ids: Int32Array.from(ids),
  trained: Uint8Array.from(ids, (_, i) => (i < prompt ? 0 : 1)),
})
const example = (label: boolean | undefined, ...sequences: Example['sequences']): Example => ({
  sequences,
  ...(label !== undefined && { label }),
  endTrained: true,
})

/** log p of the trained tokens of each row, from whole logits and in plain numbers. */
function rowsOf(of: LanguageModel, { inputs, targets, shape: [B, T] }: RowBatch): { logP: number; tokens: number }[] {
  return noGrad(() =>
    scope(() => {
      const all = logits(of, tensor(inputs, { dtype: 'int64', shape: [B, T] }))
      const V = all.shape[2]!
      const flat = all.toArray()
      return Array.from({ length: B }, (_, b) => {
        let [logP, tokens] = [0, 0]
        for (let t = 0; t < T; t++) {
          const target = targets[b * T + t]!
          if (target < 0) continue
          const row = flat.slice((b * T + t) * V, (b * T + t + 1) * V)
          const top = Math.max(...row)
          logP += row[target]! - top - Math.log(row.reduce((sum, x) => sum + Math.exp(x - top), 0))
          tokens++
        }
        return { logP, tokens }
      })
    }),
  )
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))
const settings = { beta: 0.3, desirableWeight: 1.5, undesirableWeight: 0.75 }
const lossOf = (loss: RowLoss, batch: RowBatch) => scope(() => loss(model, batch, context, base).item())

const pairs = RowSet.of('pair', [
  example(undefined, sequence([5, 9, 33, 60, 2], 2), sequence([5, 9, 71, 2], 2)),
  example(undefined, sequence([8, 1, 4, 17], 1), sequence([8, 44, 13, 60, 61], 1)),
])
const pairBatch = [...new RowBatches(pairs, { batch: 2, sequenceLength: 16, seed: 1 }).inOrder(2)][0]!

describe('objectives are the formulas of their papers, in float64', () => {
  test('DPO', () => {
    const [now, before] = [rowsOf(model, pairBatch), rowsOf(base, pairBatch)]
    const gain = (row: number) => now[row]!.logP - before[row]!.logP
    const want = [0, 1].map((i) => -Math.log(sigmoid(settings.beta * (gain(i) - gain(2 + i)))))
    expect(lossOf(dpo(settings), pairBatch)).toBeCloseTo((want[0]! + want[1]!) / 2, 9)
    expect(scope(() => dpo(settings)(base, pairBatch, context, base).item())).toBeCloseTo(Math.LN2, 9)
  })

  test('ORPO', () => {
    const rows = rowsOf(model, pairBatch).map(({ logP, tokens }) => logP / tokens)
    const odds = (row: number) => rows[row]! - Math.log(1 - Math.exp(rows[row]!))
    const want = [0, 1].map((i) => -rows[i]! - settings.beta * Math.log(sigmoid(odds(i) - odds(2 + i))))
    expect(lossOf(orpo(settings), pairBatch)).toBeCloseTo((want[0]! + want[1]!) / 2, 9)
  })

  test('KTO', () => {
    const set = RowSet.of('labelled', [
      example(true, sequence([5, 9, 33, 60, 2], 2)),
      example(false, sequence([8, 1, 4, 17], 1)),
      example(true, sequence([7, 7, 20, 2], 2)),
    ])
    const batch = [...new RowBatches(set, { batch: 3, sequenceLength: 16, seed: 1 }).inOrder(3)][0]!
    const [now, before] = [rowsOf(model, batch), rowsOf(base, batch)]
    const r = now.map(({ logP }, row) => logP - before[row]!.logP)
    const z = Math.max(0, (r[3]! + r[4]! + r[5]!) / 3)
    const value = [true, false, true].map((wanted, i) =>
      wanted ? 1.5 * (1 - sigmoid(settings.beta * (r[i]! - z))) : 0.75 * (1 - sigmoid(settings.beta * (z - r[i]!))),
    )
    expect(lossOf(kto(settings), batch)).toBeCloseTo(value.reduce((sum, x) => sum + x, 0) / 3, 9)
  })

  test('answers, packed, have the loss of each row on its own: nothing leaks between them', () => {
    const rows = [sequence([5, 9, 33, 60, 2], 2), sequence([8, 1, 4, 17], 1), sequence([3, 90, 12, 41, 7, 2], 3)]
    const set = RowSet.of(
      'single',
      rows.map((row) => example(undefined, row)),
    )
    const packed = [...new RowBatches(set, { batch: 1, sequenceLength: 32, seed: 1 }).inOrder(1)]
    expect(packed).toHaveLength(1)
    const apart = [...new RowBatches(set, { batch: 3, sequenceLength: 32, seed: 1, packing: false }).inOrder(3)][0]!
    const each = rowsOf(model, apart)
    const want = -each.reduce((sum, { logP }) => sum + logP, 0) / each.reduce((sum, { tokens }) => sum + tokens, 0)
    expect(lossOf(answers, packed[0]!)).toBeCloseTo(want, 8)
    expect(lossOf(answers, apart)).toBeCloseTo(want, 9)
  })
})

test.each([
  ['dpo', dpo(settings)],
  ['orpo', orpo(settings)],
  ['answers', answers],
] as [string, RowLoss][])('%s has the same gradients when blocks are run again in the backward pass', (_, loss) => {
  scope(() => {
    const small = createModel(
      {
        model_type: 'llama',
        vocab_size: 96,
        hidden_size: 16,
        intermediate_size: 32,
        num_hidden_layers: 2,
        num_attention_heads: 2,
      },
      { seed: 1 },
    )
    const leaves = Object.values(flattenTree(small.weights)).map((leaf: Tensor) => leaf.setRequiresGrad(true))
    const gradients = (segments?: Segments) => {
      const value = loss(small, pairBatch, { ...context, runBlock: segments?.run ?? keepActivations }, small)
      if (segments) segments.backward(value)
      else backward(value)
      return leaves.map((leaf) => {
        const values = leaf.grad!.toArray()
        leaf.grad = undefined
        return values
      })
    }
    const [kept, again] = [gradients(), gradients(new Segments())]
    kept.forEach((values, i) => values.forEach((value, j) => expect(again[i]![j]).toBeCloseTo(value, 6)))
  })
})
