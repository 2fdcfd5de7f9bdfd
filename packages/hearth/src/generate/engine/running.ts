// A request that runs: what it reads next. Short texts and single tokens are read in passes of few rows, in which each row has
// the bits that it has alone; long prompts in passes of many, in which it has the bits that it has in any of them. Which way
// a token is read follows from its request alone, so that what else runs changes nothing.
import type { LanguageModel } from '../../models/index.js'
import { PAGE_TOKENS, ROWS_AS_ALONE } from '../../nn/index.js'
import type { PassPart } from './batch-pass.js'
import type { PagedText } from './paged-text.js'
import type { Sequence } from './sequence.js'

export interface Running {
  sequence: Sequence
  /** With the adapter that it had when it came. */
  model: LanguageModel
  text: PagedText
}

export interface Part extends PassPart {
  one: Running
}

/** Whether it is in the middle of a prompt that is read in passes of many rows. */
export const readsLong = ({ sequence, text }: Running): boolean =>
  sequence.promptLength > ROWS_AS_ALONE && text.read < sequence.promptLength

/** The most pages of others that a prompt can begin with: what is left to read must be long, as all of it is. */
export const reusablePages = ({ promptLength, wantsScores }: Sequence): number =>
  wantsScores ? 0 : Math.max(0, Math.floor((promptLength - ROWS_AS_ALONE - 1) / PAGE_TOKENS))

/** The next tokens in a pass of few rows, `drafted` ones behind them. */
export function shortPart(one: Running, most: number, drafted: readonly number[] = []): Part {
  const { sequence, text } = one
  const ids = sequence.tokens.slice(text.read, text.read + most)
  const last = text.read + ids.length === sequence.tokens.length
  return partOf(one, last ? [...ids, ...drafted.slice(0, most - ids.length)] : ids)
}

/** A piece of a long prompt of about `most` tokens, so that no short one is left; undefined where there is no room for one. */
export function longPart(one: Running, most: number): Part | undefined {
  const { sequence, text } = one
  const left = sequence.promptLength - text.read
  const count = left <= most + ROWS_AS_ALONE ? left : most
  return most > ROWS_AS_ALONE ? partOf(one, sequence.tokens.slice(text.read, text.read + count)) : undefined
}

function partOf(one: Running, ids: number[]): Part {
  const { sequence, text } = one
  const choosesFrom = sequence.tokens.length - 1 - text.read
  const scores = sequence.wantsScores && text.read < sequence.promptLength
  return { one, text, ids, wantedFrom: scores ? 0 : Math.max(0, choosesFrom) }
}
