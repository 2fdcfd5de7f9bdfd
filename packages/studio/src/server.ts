// What the page asks of the server, and how it waits for one that is gone: an error is shown, and asked again.
import { useEffect, useRef, useState } from 'react'

/** What was wrong, in the server's words. */
export class ServerError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

const GONE = 'The server does not answer. Is `hearth studio` still running? The page asks again by itself.'

/**
 * JSON of the server.
 * @throws ServerError with what to do
 */
export async function ask<T>(path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const init =
    body === undefined
      ? {}
      : { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
  const answer = await fetch(`/studio/api/${path}`, { ...init, ...(signal && { signal }) }).catch((error: unknown) => {
    if (signal?.aborted) throw error
    throw new ServerError(0, GONE)
  })
  const value = (await answer.json().catch(() => undefined)) as (T & { error?: { message?: string } }) | undefined
  if (!answer.ok) throw new ServerError(answer.status, value?.error?.message ?? `The server answers ${answer.status}.`)
  return value as T
}

export interface Answer<T> {
  /** The newest that came; kept while the next is on its way, or does not come. */
  value: T | undefined
  error: ServerError | undefined
}

/**
 * Asks now, again whenever `question` changes, and every `seconds` while the page is looked at.
 * @param question undefined: nothing is asked
 */
export function useServer<T>(
  question: string | undefined,
  { body, seconds = 0 }: { body?: unknown; seconds?: number } = {},
): Answer<T> {
  const [answer, setAnswer] = useState<Answer<T>>({ value: undefined, error: undefined })
  const text = body === undefined ? undefined : JSON.stringify(body)
  const latest = useRef(0)
  useEffect(() => {
    if (question === undefined) return
    const own = ++latest.current
    const controller = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const run = async () => {
      try {
        if (!document.hidden) {
          const value = await ask<T>(
            question,
            text === undefined ? undefined : (JSON.parse(text) as unknown),
            controller.signal,
          )
          if (own === latest.current) setAnswer({ value, error: undefined })
        }
      } catch (error) {
        if (controller.signal.aborted || !(error instanceof ServerError)) return
        setAnswer(({ value }) => ({ value, error }))
        // Even what is asked once is asked again when nobody answered.
        if (seconds === 0 && error.status === 0) timer = setTimeout(() => void run(), 2000)
      }
      if (seconds > 0 && !controller.signal.aborted) timer = setTimeout(() => void run(), seconds * 1000)
    }
    void run()
    return () => {
      controller.abort()
      clearTimeout(timer)
    }
  }, [question, text, seconds])
  return answer
}

/** A value that has been the same for a moment: sliders move faster than plans are made. */
export function useSettled<T>(value: T, milliseconds = 120): T {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), milliseconds)
    return () => clearTimeout(timer)
  }, [value, milliseconds])
  return settled
}
