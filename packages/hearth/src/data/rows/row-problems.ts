// Gathers what is wrong with rows, so that all of it is said at once: with file, row and field, the first places in full
// and the rest as counts. What is wrong with many rows in one way is one line.
import { DataError } from '@hearth/torch'

const MOST_LISTED = 20

export class RowProblems {
  readonly #first: string[] = []
  /** Of each thing that is wrong, the first place and the number of places. */
  readonly #kinds = new Map<string, { where: string; count: number }>()
  #count = 0

  /** @param where file and row, as readRows() names them */
  add(where: string, problem: string): void {
    if (this.#count++ < MOST_LISTED) this.#first.push(`${where}: ${problem}`)
    const kind = this.#kinds.get(problem)
    if (kind === undefined) this.#kinds.set(problem, { where, count: 1 })
    else kind.count++
  }

  /** @throws DataError with all that was added, when anything was */
  throwIfAny(remedy?: string): void {
    if (this.#count === 0) return
    const lines = this.#count <= MOST_LISTED ? this.#first : this.#byKind()
    const more = lines.length > MOST_LISTED ? [`and ${lines.length - MOST_LISTED} more`] : []
    const head = `${this.#count} problem${this.#count === 1 ? '' : 's'} with the rows:`
    const text = [head, ...lines.slice(0, MOST_LISTED), ...more].join('\n  ')
    throw new DataError(text, remedy === undefined ? {} : { remedy })
  }

  #byKind(): string[] {
    return [...this.#kinds].map(([problem, { where, count }]) => {
      const others = count === 1 ? '' : ` (and ${count - 1} row${count === 2 ? '' : 's'} more)`
      return `${where}${others}: ${problem}`
    })
  }
}
