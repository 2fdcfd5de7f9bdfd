// hearth::attend_pages: against attention over whole keys, against its own form in float64, and its promise that a row's bits
// are its own.
import { describe, expect, test } from 'vitest'
import {
  call,
  cat,
  empty,
  noGrad,
  scope,
  setNumThreads,
  tensor,
  TorchError,
  type DType,
  type Tensor,
} from '../../src/index.js'
import { normal, relativeError, TOLERANCE } from './against-float64.js'

const PAGE = 16

interface Text {
  /** Tokens written before, then those that are new. */
  held: number
  added: number
  /** Pages in their order. */
  pages: number[]
}

interface Case {
  texts: Text[]
  heads: number
  keyHeads: number
  width: number
  window?: number
  rotary?: number
}

const padded = (width: number) => Math.ceil(width / PAGE) * PAGE
const pagesOf = ({ keyHeads, width }: Case, dtype: DType, count = 40) =>
  // What was never written is no number: nobody may look at it.
  empty([count, keyHeads, 2, PAGE * padded(width)], { dtype }).fill_(dtype === 'int8' ? 77 : NaN)

function tables(texts: readonly { added: number; position: number; pages: number[] }[]): [Tensor, Tensor] {
  const most = Math.max(...texts.map(({ pages }) => pages.length))
  let row = 0
  const spans = texts.map(({ added, position }) => [(row += added) - added, added, position])
  const rows = texts.map(({ pages }) => [...pages, ...Array<number>(most - pages.length).fill(-1)])
  return [tensor(rows, { dtype: 'int32' }), tensor(spans, { dtype: 'int32' })]
}

/** q, k and v of all tokens of a text, and what turns them. */
function rowsOf({ heads, keyHeads, width, rotary }: Case, text: number, tokens: number, dtype: DType) {
  const part = (count: number, seed: number) => normal([tokens, count, width], 'bfloat16', 10 * text + seed).to(dtype)
  const table = (angle: (x: number) => number, negated: boolean) =>
    tensor(
      Array.from({ length: tokens }, (_, t) =>
        Array.from({ length: rotary! }, (_, r) => {
          const turned = angle(t / 10_000 ** ((2 * (r % (rotary! / 2))) / rotary!))
          return negated && r < rotary! / 2 ? -turned : turned
        }),
      ),
    )
  const turn = rotary === undefined ? {} : { cos: table(Math.cos, false), sin: table(Math.sin, true) }
  return { q: part(heads, 1), k: part(keyHeads, 2), v: part(keyHeads, 3), ...turn }
}

/** What the new rows of all texts get: the held tokens are read first, text by text, then the new ones together. */
function run(some: Case, dtype: DType, kept: DType, only?: number): Tensor {
  const pages = pagesOf(some, kept)
  const units = kept === 'int8' ? empty([40, some.keyHeads, 2, PAGE]).fill_(NaN) : undefined
  const texts = some.texts.map((text, index) => ({ ...text, rows: rowsOf(some, index, text.held + text.added, dtype) }))
  const attend = (parts: { text: (typeof texts)[number]; from: number; count: number }[]) => {
    const join = (name: 'q' | 'k' | 'v' | 'cos' | 'sin') =>
      parts[0]!.text.rows[name] === undefined
        ? undefined
        : cat(parts.map(({ text, from, count }) => text.rows[name]!.narrow(0, from, count)))
    const places = parts.map(({ text, from, count }) => ({ added: count, position: from, pages: text.pages }))
    const scale = 1 / Math.sqrt(some.width)
    const rest = [scale, some.window ?? 0, join('cos'), join('sin')]
    return call(
      'hearth::attend_pages',
      join('q'),
      join('k'),
      join('v'),
      pages,
      units,
      ...tables(places),
      ...rest,
    ) as Tensor
  }
  for (const text of texts) if (text.held > 0) attend([{ text, from: 0, count: text.held }])
  const chosen = only === undefined ? texts : [texts[only]!]
  return attend(chosen.map((text) => ({ text, from: text.held, count: text.added })))
}

/** The same by attention over whole keys. */
function whole(some: Case, dtype: DType): Tensor {
  const heads = (x: Tensor) => x.transpose(0, 1).unsqueeze(0) // (T, H, E) → (1, H, T, E)
  const turn = (x: Tensor, cos?: Tensor, sin?: Tensor) => {
    if (!cos || !sin) return x
    const [first, rest] = [x.narrow(2, 0, some.rotary!), x.narrow(2, some.rotary!, some.width - some.rotary!)]
    const swapped = first.roll(some.rotary! / 2, { dims: 2 })
    return cat([first.mul(cos.unsqueeze(1)).add(swapped.mul(sin.unsqueeze(1))), rest], { dim: 2 }).to(x.dtype)
  }
  const outs = some.texts.map(({ held, added }, index) => {
    const { q, k, v, cos, sin } = rowsOf(some, index, held + added, dtype)
    const operands = [turn(q, cos, sin), turn(k, cos, sin), v].map(heads)
    const [out] = call('hearth::attention', ...operands, 1 / Math.sqrt(some.width), true, some.window ?? 0) as Tensor[]
    return out!.squeeze(0).transpose(0, 1).narrow(0, held, added)
  })
  return cat(outs)
}

const CASES: Record<string, Case> = {
  'one token after none': { texts: [{ held: 0, added: 1, pages: [3] }], heads: 1, keyHeads: 1, width: 5 },
  'tokens of several texts': {
    texts: [
      { held: 40, added: 1, pages: [7, 2, 9] },
      { held: 0, added: 3, pages: [4] },
      { held: 150, added: 1, pages: [30, 11, 12, 13, 14, 15, 16, 17, 18, 19] },
    ],
    ...{ heads: 8, keyHeads: 2, width: 64, rotary: 64 },
  },
  'a prompt in two parts': {
    texts: [{ held: 100, added: 77, pages: [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23] }],
    ...{ heads: 3, keyHeads: 3, width: 40, rotary: 12 },
  },
  'windows, whose pages before were given back': {
    texts: [{ held: 60, added: 6, pages: [8, 6, 5, 2, 1] }],
    ...{ heads: 4, keyHeads: 1, width: 16, window: 20 },
  },
}

describe.each(Object.entries(CASES))('%s', (_, some) => {
  test.each(['float32', 'bfloat16'] as const)('in %s agree with attention over whole keys', (dtype) => {
    noGrad(() =>
      scope(() => {
        const expected = whole(some, dtype)
        expect(relativeError(run(some, dtype, dtype), expected.to('float64'))).toBeLessThan(TOLERANCE[dtype])
      }),
    )
  })

  test.each(['float32', 'bfloat16'] as const)('in %s agree with the form in float64', (dtype) => {
    scope(() => {
      expect(relativeError(run(some, dtype, dtype), run(some, 'float64', 'float64'))).toBeLessThan(TOLERANCE[dtype])
    })
  })

  test('with integers in the pages agree with the form in float64 on the same integers', () => {
    scope(() => {
      expect(relativeError(run(some, 'float32', 'int8'), run(some, 'float64', 'int8'))).toBeLessThan(2e-2)
      expect(relativeError(run(some, 'float32', 'int8'), run(some, 'float32', 'float32'))).toBeLessThan(3e-2)
    })
  })
})

const byReference = process.env.HEARTH_KERNELS === 'reference'

test.skipIf(byReference)('a text has the same bits alone and beside others, with one thread and with two', () => {
  const some = CASES['tokens of several texts']!
  scope(() => {
    for (const kept of ['float32', 'bfloat16', 'int8'] as const) {
      setNumThreads(1)
      const together = run(some, 'float32', kept)
      const alone = cat(some.texts.map((_, index) => run(some, 'float32', kept, index)))
      setNumThreads(2)
      const shared = run(some, 'float32', kept)
      setNumThreads(1)
      expect(alone.toArray()).toEqual(together.toArray())
      expect(shared.toArray()).toEqual(together.toArray())
    }
  })
})

test('a page that is not there is refused before anything is written', () => {
  const some = CASES['one token after none']!
  const wrong = (pages: number[], position = 0) => {
    const { q, k, v } = rowsOf(some, 0, 1, 'float32')
    const places = tables([{ added: 1, position, pages }])
    return () => call('hearth::attend_pages', q, k, v, pagesOf(some, 'float32'), undefined, ...places, 1)
  }
  expect(wrong([-1])).toThrow(TorchError)
  expect(wrong([40])).toThrow(/page 0 of text 0 is 40 of 40/)
  expect(wrong([1], 16)).toThrow(/room for 16/)
})
