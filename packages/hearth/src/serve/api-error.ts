// What goes wrong, in the shape that clients of OpenAI's API read: { error: { message, type, param, code } } and a status.
// Whatever is not a mistake of the client is said without its insides.
import { ConfigError, DataError, HearthError, type HearthErrorOptions } from '@hearth/torch'
import type { z } from 'zod'

/** OpenAI's words for whose fault it is. */
export type ApiErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'not_found_error'
  | 'rate_limit_error'
  | 'server_error'

export interface ApiErrorOptions extends HearthErrorOptions {
  /** The field of the request. */
  param?: string | undefined
  /** For programs, as `context_length_exceeded`. */
  code?: string | undefined
  /** Seconds after which another try makes sense. */
  retryAfter?: number
}

/** The body of every error. */
export interface ErrorBody {
  error: { message: string; type: string; param: string | null; code: string | null }
}

/** An error with its HTTP status. */
export class ApiError extends HearthError {
  readonly status: number
  readonly type: ApiErrorType
  readonly param: string | undefined
  readonly code: string | undefined
  readonly retryAfter: number | undefined

  constructor(status: number, message: string, options: ApiErrorOptions = {}) {
    super(message, options)
    this.status = status
    this.type = typeOf(status)
    this.param = options.param
    this.code = options.code
    this.retryAfter = options.retryAfter
  }

  get body(): ErrorBody {
    const { message, type, param = null, code = null } = this
    return { error: { message, type, param, code } }
  }
}

function typeOf(status: number): ApiErrorType {
  if (status >= 500) return 'server_error'
  if (status === 401) return 'authentication_error'
  if (status === 403) return 'permission_error'
  if (status === 404) return 'not_found_error'
  return status === 429 ? 'rate_limit_error' : 'invalid_request_error'
}

/** A request that cannot be meant as it is. */
export const badRequest = (message: string, param?: string, code?: string): ApiError =>
  new ApiError(400, message, { param, code })

/**
 * The body of a request, as its schema types it.
 * @throws ApiError naming every field that is wrong; `param` is the first of them
 */
export function parseBody<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const parsed = schema.safeParse(body ?? {}, { reportInput: false })
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues.slice(0, 10).map(({ path, message }) => ({ path: pathOf(path), message }))
  const text = issues.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ')
  throw badRequest(text.slice(0, 2000), issues[0]?.path === '' ? undefined : issues[0]?.path, 'invalid_value')
}

const pathOf = (path: readonly PropertyKey[]): string =>
  path.map((key, i) => (typeof key === 'number' ? `[${key}]` : i === 0 ? String(key) : `.${String(key)}`)).join('')

/** Errors of the web framework carry a status of their own. */
interface FrameworkError {
  statusCode?: number
  code?: string
  message: string
}

/** Any error as one for a client; of what is our own fault only that it happened. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  if (error instanceof ConfigError || error instanceof DataError)
    return new ApiError(400, error.message, { cause: error })
  const { statusCode, message, code } = (error ?? {}) as FrameworkError
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new ApiError(statusCode, message, { code: code?.toLowerCase(), cause: error })
  return new ApiError(500, 'something went wrong inside the server; its log says what', { cause: error })
}
