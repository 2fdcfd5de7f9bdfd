// Over pages a model continues its texts as over a cache of their own, in every family: several texts in one pass.
import { noGrad, scope, tensor } from '@hearth/torch'
import { expect, test } from 'vitest'
import { type PagedText } from '../nn/index.js'
import { createModel, families, keyValueCacheOf, logits, pagedCacheOf, type LanguageModel } from './index.js'

const SIZES = {
  vocab_size: 40,
  n_embd: 16,
  n_layer: 2,
  n_head: 2,
  n_positions: 64,
  hidden_size: 16,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  intermediate_size: 24,
  max_position_embeddings: 64,
  num_layers: 2,
  num_heads: 2,
  head_dim: 8,
  rotary_dim: 4,
  num_key_value_heads: 2,
  num_local_experts: 3,
  attention_types: [[['global', 'local'], 1]],
  window_size: 7,
  sliding_window: 7,
  use_sliding_window: true,
}
const PROMPTS = [[3, 1, 4, 1, 5, 9, 2, 6], Array.from({ length: 37 }, (_, i) => (7 * i) % 40), [11]]
const TOKENS = 12

const row = (ids: readonly number[]) => tensor([[...ids]], { dtype: 'int64' })
const largest = (values: readonly number[]) => values.indexOf(Math.max(...values))

function alone(model: LanguageModel, prompt: readonly number[]): number[] {
  using cache = keyValueCacheOf(model)
  const text = [...prompt]
  for (let read = 0; text.length < prompt.length + TOKENS;) {
    const next = scope(() => largest(logits(model, row(text.slice(read)), { cache, lastOnly: true }).toArray()))
    read = text.length
    text.push(next)
  }
  return text.slice(prompt.length)
}

/** All texts at once; each prompt is read in parts of at most 16. */
function together(model: LanguageModel, prompts: readonly (readonly number[])[]): number[][] {
  using cache = pagedCacheOf(model, { pages: 16 })
  const texts = prompts.map((prompt, i) => ({
    ids: [...prompt],
    read: 0,
    pages: [15 - 4 * i, 12 - 4 * i, 13 - 4 * i, 14 - 4 * i],
  }))
  while (texts.some(({ ids }, i) => ids.length < prompts[i]!.length + TOKENS)) {
    const spans: PagedText[] = texts.map(({ ids, read, pages }) => ({
      start: read,
      count: Math.min(16, ids.length - read),
      pages,
    }))
    const ids = texts.flatMap(({ ids, read }) => ids.slice(read, read + 16))
    const rows = scope(() => logits(model, row(ids), { cache: cache.reading(spans) }).toNested()) as number[][][]
    let last = -1
    for (const [i, text] of texts.entries()) {
      last += spans[i]!.count
      text.read += spans[i]!.count
      if (text.read === text.ids.length) text.ids.push(largest(rows[0]![last]!))
    }
  }
  return texts.map(({ ids }, i) => ids.slice(prompts[i]!.length, prompts[i]!.length + TOKENS))
}

test.each(Object.keys(families))('%s', (type) => {
  const model = createModel({ model_type: type, ...SIZES }, { seed: 5 })
  noGrad(() => expect(together(model, PROMPTS)).toEqual(PROMPTS.map((prompt) => alone(model, prompt))))
})

test('a pass refuses other tokens than its texts have, and texts beyond the context', () => {
  const model = createModel({ model_type: 'llama', ...SIZES }, { seed: 5 })
  using cache = pagedCacheOf(model, { pages: 5 })
  const pages = [0, 1, 2, 3, 4]
  const read =
    (count: number, start: number, given = count) =>
    () =>
      noGrad(() =>
        logits(model, row(Array<number>(given).fill(1)), { cache: cache.reading([{ start, count, pages }]) }),
      )
  expect(read(3, 0, 2)).toThrow(/reads 3 tokens as a batch of 1, got 2/)
  expect(read(3, 62)).toThrow(/65 tokens \(62 in the cache and 3 new\), the model reads at most 64/)
})
