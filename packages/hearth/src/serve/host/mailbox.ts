// What arrives for one request before it is asked for: a queue with one reader, that may fail.

export class Mailbox<Item> {
  readonly #items: Item[] = []
  #error: Error | undefined
  #wake: (() => void) | undefined

  put(item: Item): void {
    this.#items.push(item)
    this.#wake?.()
  }

  /** What is in it is dropped: the reader hears of the failure at once. */
  fail(error: Error): void {
    this.#error ??= error
    this.#wake?.()
  }

  /** The next item. @throws what it failed with */
  async take(): Promise<Item> {
    for (;;) {
      if (this.#error !== undefined) throw this.#error
      if (this.#items.length > 0) return this.#items.shift()!
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }
}
