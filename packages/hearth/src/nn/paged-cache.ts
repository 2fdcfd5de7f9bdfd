// Keys and values of many texts in pages of 16 tokens, so that texts of any lengths share one memory, and texts that begin
// alike share pages. Which page belongs to whom is the business of who holds this (hearth/generate). For inference.
// N new tokens of all texts, H heads, K key/value heads, E width of a head.
import {
  call,
  empty,
  HearthError,
  keep,
  noGrad,
  scope,
  tensor,
  type Device,
  type DType,
  type Tensor,
} from '@hearth/torch'
import type { AttentionCache, CachedAttentionOptions, Positions, PositionSpan } from './attention-cache.js'

/** Tokens of a page. */
export const PAGE_TOKENS = 16

export type PageDType = Extract<DType, 'float32' | 'bfloat16' | 'int8'>

export interface PagesShape {
  layers: number
  /** Key/value heads. */
  heads: number
  headDim: number
  /** Pages that there are. */
  pages: number
  /** int8 has a scale for each token and head. @default float32 */
  dtype?: PageDType
  device?: Device
}

const paddedWidth = (headDim: number): number => Math.ceil(headDim / PAGE_TOKENS) * PAGE_TOKENS

/** Bytes that the keys and values of one page take, in all layers. */
export function bytesOfPage({ layers, heads, headDim, dtype = 'float32' }: Omit<PagesShape, 'pages'>): number {
  const elements = layers * heads * 2 * PAGE_TOKENS
  const width = paddedWidth(headDim)
  return dtype === 'int8' ? elements * (width + 4) : elements * width * (dtype === 'float32' ? 4 : 2)
}

/** New tokens of one text in a pass. */
export interface PagedText extends PositionSpan {
  /** Its pages in the order of the text, those of the new tokens included; -1 for one that no query sees any more. */
  pages: ArrayLike<number>
}

/**
 * The memory of the pages: two tensors a layer.
 * @example
 * using cache = new PagedCache({ layers: 2, heads: 4, headDim: 8, pages: 100 })
 * const hidden = family.hidden(weights, config, ids, { cache: cache.reading([{ start: 0, count: 3, pages: [7] }]) })
 */
export class PagedCache {
  readonly #layers: { pages: Tensor; units: Tensor | undefined }[]

  constructor({ layers, heads, headDim, pages, dtype = 'float32', device = 'cpu' }: PagesShape) {
    const make = (shape: number[], dtype: DType) => keep(empty(shape, { dtype, device }))
    this.#layers = Array.from({ length: layers }, () => ({
      pages: make([pages, heads, 2, PAGE_TOKENS * paddedWidth(headDim)], dtype),
      units: dtype === 'int8' ? make([pages, heads, 2, PAGE_TOKENS], 'float32') : undefined,
    }))
  }

  /** The cache as one pass needs it, which reads the tokens of these texts one behind the other, as a batch of 1. */
  reading(texts: readonly PagedText[]): AttentionCache {
    return new PagedPass(this.#layers, texts)
  }

  dispose(): void {
    for (const { pages, units } of this.#layers) {
      pages.dispose()
      units?.dispose()
    }
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

class PagedPass implements AttentionCache {
  readonly #layers: readonly { pages: Tensor; units: Tensor | undefined }[]
  readonly #texts: readonly PagedText[]
  /** (texts, most pages) and (texts, 3), int32: see hearth::attend_pages. */
  readonly #tables: Tensor
  readonly #spans: Tensor
  readonly #tokens: number

  constructor(layers: readonly { pages: Tensor; units: Tensor | undefined }[], texts: readonly PagedText[]) {
    this.#layers = layers
    this.#texts = texts
    const most = Math.max(...texts.map(({ pages }) => pages.length))
    const tables = new Int32Array(texts.length * most).fill(-1)
    const spans = new Int32Array(texts.length * 3)
    let tokens = 0
    for (const [index, { start, count, pages }] of texts.entries()) {
      tables.set(pages, index * most)
      spans.set([tokens, count, start], 3 * index)
      tokens += count
    }
    this.#tokens = tokens
    this.#tables = tensor(tables, { shape: [texts.length, most], dtype: 'int32' })
    this.#spans = tensor(spans, { shape: [texts.length, 3], dtype: 'int32' })
  }

  positionsOf(batch: number, tokens: number): Positions {
    if (batch === 1 && tokens === this.#tokens) return this.#texts
    throw new HearthError(
      `this pass reads ${this.#tokens} tokens as a batch of 1, got ${tokens} in a batch of ${batch}`,
    )
  }

  attend(layer: number, q: Tensor, k: Tensor, v: Tensor, options: CachedAttentionOptions): Tensor {
    const { rotary, window = 0, scale = 1 / Math.sqrt(q.shape[3]!) } = options
    const { pages, units } = this.#layers[layer]!
    return noGrad(() =>
      scope(() => {
        const rows = (x: Tensor) => x.squeeze(0).transpose(0, 1) // (1, H, N, E) → (N, H, E), a view
        const places = [pages, units, this.#tables, this.#spans] as const
        const turn = [rotary?.cos, rotary?.sin] as const
        const attended = call(
          'hearth::attend_pages',
          rows(q),
          rows(k),
          rows(v),
          ...places,
          scale,
          window,
          ...turn,
        ) as Tensor
        return attended.transpose(0, 1).unsqueeze(0) // (N, H, E) → (1, H, N, E), a view
      }),
    )
  }

  advance(): void {
    // The holder counts, text by text.
  }
}
