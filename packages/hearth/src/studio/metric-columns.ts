// The measurements of a run as columns of numbers, read once and then only what was appended: a page may ask every second,
// of a run of a million lines. A file that was cut (a run that went back) or replaced is read anew.
import { existsSync } from 'node:fs'
import { open, stat } from 'node:fs/promises'

/** What is drawn. */
export const METRICS = [
  'loss',
  'heldOutLoss',
  'learningRate',
  'gradientNorm',
  'tokensPerSecond',
  'memoryBytes',
  'modelFlopUtilisation',
] as const
export type Metric = (typeof METRICS)[number]

export type Columns = Readonly<Record<Metric, Float64Array>> & { step: Float64Array }

const NAMES = ['step', ...METRICS] as const
const CHUNK = 4 * 2 ** 20
/** No line of ours is as long: what has no end by then is not a metrics file. */
const LONGEST_LINE = 2 ** 20

export class MetricColumns {
  readonly #path: string
  #columns: Record<string, Float64Array> = {}
  #length = 0
  #offset = 0
  /** Bytes of the first line: a run's own header, which another file has not. */
  #head = ''
  #reading: Promise<void> | undefined

  constructor(path: string) {
    this.#path = path
  }

  /** Columns up to the file's last whole line. */
  async read(): Promise<Columns> {
    await (this.#reading ??= this.#follow().finally(() => (this.#reading = undefined)))
    return Object.fromEntries(
      NAMES.map((name) => [name, (this.#columns[name] ?? new Float64Array(0)).subarray(0, this.#length)]),
    ) as Columns
  }

  async #follow(): Promise<void> {
    if (!existsSync(this.#path)) {
      this.#reset()
      return
    }
    const { size } = await stat(this.#path)
    const file = await open(this.#path, 'r')
    try {
      const head = (await file.read(Buffer.alloc(256), 0, 256, 0)).buffer.toString('latin1')
      if (size < this.#offset || !head.startsWith(this.#head)) this.#reset()
      if (this.#head === '' && size >= 256) this.#head = head
      const buffer = Buffer.alloc(CHUNK)
      while (this.#offset < size) {
        const { bytesRead } = await file.read(buffer, 0, CHUNK, this.#offset)
        const whole = buffer.lastIndexOf(10, bytesRead - 1) + 1
        if (whole === 0 || bytesRead === 0) {
          if (bytesRead >= LONGEST_LINE) this.#offset += bytesRead
          return
        }
        this.#take(buffer.toString('utf8', 0, whole))
        this.#offset += whole
      }
    } finally {
      await file.close()
    }
  }

  #reset(): void {
    this.#length = 0
    this.#offset = 0
    this.#head = ''
  }

  #take(text: string): void {
    for (const line of text.split('\n')) {
      if (line === '') continue
      try {
        const value = JSON.parse(line) as Record<string, unknown> | null
        if (typeof value?.step === 'number') this.#append(value)
      } catch {
        // A line that was torn by a crash is no measurement.
      }
    }
  }

  #append(value: Record<string, unknown>): void {
    // A run that went back writes the same steps again: what it wrote before is gone.
    while (this.#length > 0 && this.#columns.step![this.#length - 1]! >= (value.step as number)) this.#length--
    for (const name of NAMES) {
      const column = this.#roomFor(name)
      const number = value[name]
      column[this.#length] = typeof number === 'number' ? number : NaN
    }
    this.#length++
  }

  #roomFor(name: string): Float64Array {
    const column = this.#columns[name] ?? new Float64Array(1024)
    if (column.length > this.#length) return (this.#columns[name] = column)
    const larger = new Float64Array(column.length * 2)
    larger.set(column)
    return (this.#columns[name] = larger)
  }
}
