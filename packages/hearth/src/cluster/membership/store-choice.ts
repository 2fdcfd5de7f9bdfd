// Which of several stores counts: with the embedded one every host serves one, and all machines go by that of the
// earliest host that answers. A host that dies takes its store with it, and the next one's counts then; nothing is lost,
// since machines say again what they know. Not here: the requests (embedded-store.ts).

/** A host that did not answer for so long is not waited for. */
export const SILENCE_SECONDS = 3

export class StoreChoice {
  readonly #answered: (number | undefined)[]
  readonly #started: number

  constructor(hosts: number, now: number) {
    this.#answered = Array.from({ length: hosts }, () => undefined)
    this.#started = now
  }

  /** The store of this host answered. */
  heard(host: number, now: number): void {
    this.#answered[host] = now
  }

  /** Nobody listens at this host: its store is gone, and that is no silence to be waited out. */
  refused(host: number): void {
    this.#answered[host] = undefined
  }

  /** The host whose store counts; undefined while there is none, or an earlier one may yet answer. */
  chosen(now: number): number | undefined {
    const host = this.#answered.findIndex((at) => at !== undefined && now - at <= SILENCE_SECONDS)
    if (host < 0) return undefined
    return host === 0 || now - this.#started > SILENCE_SECONDS ? host : undefined
  }
}
