// What machines and the store of a host say to each other: lines of JSON over TLS with the run's secret as its key, so
// that nobody else gets as far as a line. Lengths are capped and every line is checked before it is used.
import { z } from 'zod'

const name = z.string().max(253)
const id = z.string().max(200)
const count = z.int().min(0)

const record = z.strictObject({
  name,
  life: id,
  address: name,
  identity: id,
  last: count,
  seen: id,
  worked: id,
  broke: id,
  suspects: z.array(name).max(1024).readonly(),
})

const generation = z.strictObject({
  number: count,
  id,
  identity: id,
  members: z
    .array(z.strictObject({ name, life: id, address: name }).readonly())
    .max(1024)
    .readonly(),
  strikes: z.record(name, count),
  shutOut: z.record(name, id),
  silent: z.record(name, id),
  finished: z.boolean(),
})

export const generationSchema = generation
export const recordSchema = record

const request = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('heartbeat'), record }),
  z.strictObject({ kind: z.literal('propose'), revision: count, generation }),
  z.strictObject({ kind: z.literal('leave'), name, life: id }),
  /** Values are base64. */
  z.strictObject({ kind: z.literal('put'), generation: id, key: id, value: z.string().max(65536) }),
  z.strictObject({ kind: z.literal('read'), generation: id, key: id }),
])

const answer = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('view'),
    view: z.strictObject({ revision: count, generation: generation.optional(), members: z.array(record).readonly() }),
  }),
  z.strictObject({ kind: z.literal('value'), value: z.string().optional() }),
  z.strictObject({ kind: z.literal('refused'), reason: z.string() }),
])

export type StoreRequest = z.output<typeof request>
export type StoreAnswer = z.output<typeof answer>

export const parseRequest = (line: string): StoreRequest => request.parse(JSON.parse(line))
export const parseAnswer = (line: string): StoreAnswer => answer.parse(JSON.parse(line))

const LONGEST_LINE = 2 ** 20

/** Cuts a stream into lines, and throws when one is longer than any that is meant. */
export class LineReader {
  readonly #take: (line: string) => void
  #kept = ''

  constructor(take: (line: string) => void) {
    this.#take = take
  }

  push(text: string): void {
    const lines = (this.#kept + text).split('\n')
    this.#kept = lines.pop()!
    if (this.#kept.length > LONGEST_LINE) throw new RangeError('a line without an end')
    lines.forEach(this.#take)
  }
}
