// One request to an endpoint that speaks OpenAI's API: the key, patience with a busy server, and what went wrong in words.
import { setTimeout as sleep } from 'node:timers/promises'
import { DataError, HearthError } from '@hearth/torch'

/** Where a model is served. */
export interface Endpoint {
  /** As a person writes it. */
  url: string
  /** Without the last part of the path. */
  base: string
  isChat: boolean
  /** The name of the model there; the only one it has, when none is given. */
  model: string | undefined
  key: string | undefined
}

const ATTEMPTS = 5
const SECONDS = 600

/**
 * Reads `http://HOST/v1#MODEL`, with `/completions` or `/chat/completions` at the end or without.
 * @throws DataError when it is no address
 */
export function parseEndpoint(word: string, key: string | undefined): Endpoint {
  let address: URL
  try {
    address = new URL(word)
  } catch (cause) {
    throw new DataError(`${JSON.stringify(word)} is no address`, { cause, remedy: 'as http://127.0.0.1:8080/v1#name' })
  }
  const isChat = /\/chat\/completions\/?$/.test(address.pathname)
  const path = address.pathname.replace(/\/(chat\/)?completions\/?$|\/$/, '')
  const model = address.hash === '' ? undefined : decodeURIComponent(address.hash.slice(1))
  const base = `${address.origin}${path === '' ? '/v1' : path}`
  return { url: word, base, isChat, model, key: key === '' ? undefined : key }
}

/**
 * Asks, and asks again while the server is busy.
 * @throws HearthError saying what the endpoint answered, or that it did not
 */
export async function askEndpoint(
  { base, key }: Endpoint,
  path: string,
  body: object | undefined,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  const url = `${base}/${path}`
  const headers = { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) }
  const sent = body === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(body) }
  for (let attempt = 1; ; attempt++) {
    const limit = AbortSignal.timeout(SECONDS * 1000)
    const both = signal ? AbortSignal.any([signal, limit]) : limit
    const response = await fetch(url, { ...sent, signal: both, redirect: 'error' }).catch((error: unknown) => {
      signal?.throwIfAborted()
      throw unanswered(url, error)
    })
    const text = await response.text().catch((error: unknown) => {
      throw unanswered(url, error)
    })
    if (response.ok) return parsed(text, url)
    if (attempt === ATTEMPTS || !(response.status === 429 || response.status >= 500))
      throw refused(url, response.status, text, key)
    const asked = Number(response.headers.get('retry-after'))
    await sleep(Math.min(30, asked > 0 ? asked : 2 ** (attempt - 2)) * 1000, undefined, signal && { signal })
  }
}

function unanswered(url: string, error: unknown): HearthError {
  const { cause, message } = error as { cause?: { code?: string; message?: string }; message?: string }
  const reason = cause?.code ?? cause?.message ?? message
  return new HearthError(`${url} does not answer: ${reason}`, {
    cause: error,
    remedy: 'is the server running, and is this its address?',
  })
}

function refused(url: string, status: number, text: string, key: string | undefined): HearthError {
  let said = text.slice(0, 300)
  try {
    const { error } = JSON.parse(text) as { error?: { message?: string } | string }
    said = (typeof error === 'object' ? error.message : error) ?? said
  } catch {
    // Not JSON: what it says stands as it is.
  }
  const isKey = status === 401 || status === 403
  const aboutKey =
    key === undefined ? 'put its key into OPENAI_API_KEY' : 'the key in OPENAI_API_KEY is not taken there'
  return new HearthError(`${url} answers ${status}: ${said}`, {
    remedy: isKey
      ? aboutKey
      : status === 404
        ? 'is the address whole, with /v1, and the model’s name right (URL#NAME)?'
        : undefined,
  })
}

function parsed(text: string, url: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw new DataError(`${url} answers no JSON: ${JSON.stringify(text.slice(0, 80))}`, {
      cause,
      remedy: 'is this the address of an API (…/v1)?',
    })
  }
}
