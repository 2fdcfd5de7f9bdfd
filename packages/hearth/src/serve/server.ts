// The HTTP server: the framework, who may speak to it, its routes, and how it ends. What routes do is theirs (routes/).
import { HearthError } from '@hearth/torch'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { Admission } from './admission.js'
import { asApiError, ApiError } from './api-error.js'
import { Catalog, type BaseOptions, type CatalogEvent } from './catalog.js'
import { Guard } from './guard.js'
import { ServerMetrics } from './metrics.js'
import { chat } from './routes/chat.js'
import { completions } from './routes/completions.js'
import { embeddings } from './routes/embeddings.js'
import { health } from './routes/health.js'
import { models } from './routes/models.js'
import { responses } from './routes/responses.js'
import type { RoutePlugin } from './routes/route.js'
import { tokenize } from './routes/tokenize.js'
import { Writer } from './writing.js'

/** What everybody may ask without a key. */
const OPEN = new Set(['/health'])
/** Milliseconds that a client has to send its request. */
const REQUEST_PATIENCE = 30_000

export interface ServeOptions {
  models: readonly BaseOptions[]
  /** Adapters by name; `base` where there are several models. */
  adapters?: readonly { name: string; folder: string; base?: string | undefined }[]
  /** @default 127.0.0.1 */
  host?: string
  /** 0 for any that is free. @default 8080 */
  port?: number
  /** Needed where the address can be reached from other machines. */
  keys?: readonly string[]
  allowedHosts?: readonly string[]
  allowedOrigins?: readonly string[]
  /** Texts that may be in the works at once, waiting ones included. @default 128 */
  maxRequests?: number
  /** Largest body of a request. @default 4 MiB */
  maxBodyBytes?: number
  /** Seconds that texts in the works get when the server ends. @default 30 */
  drainSeconds?: number
  /** Further routes. */
  plugins?: readonly RoutePlugin[]
  report?: (event: ServerEvent) => void
}

/** What a server tells its owner. */
export type ServerEvent = CatalogEvent | { kind: 'error'; route: string; error: unknown }

/** A server that listens. */
export interface Server {
  /** `http://127.0.0.1:8080` */
  url: string
  catalog: Catalog
  /** Refuses what is new, lets what is in the works end, and closes everything. */
  close: () => Promise<void>
}

const ROUTES: readonly RoutePlugin[] = [models, completions, chat, responses, embeddings, tokenize, health]

/**
 * Opens the models, each in a process of its own, and listens.
 * @throws ConfigError before anything is opened for an address that needs a key; what the models say when they do not open
 * @example
 * const server = await serve({ models: [{ name: 'pythia', path: 'models/pythia-160m' }] })
 */
export async function serve(options: ServeOptions): Promise<Server> {
  const { host = '127.0.0.1', keys = [], allowedHosts = [], allowedOrigins = [], report = () => undefined } = options
  const guard = new Guard({ host, keys, allowedHosts, allowedOrigins })
  const metrics = new ServerMetrics()
  const catalog = new Catalog((event) => {
    if (event.kind === 'died') metrics.died(event.model)
    report(event)
  })
  const admission = new Admission(options.maxRequests ?? 128)
  const app = framework(options)
  try {
    for (const model of options.models) await catalog.addBase(model)
    for (const { name, folder, base } of options.adapters ?? []) await catalog.addAdapter(name, folder, base)
    watch(app, guard, metrics, report)
    const context = { catalog, admission, metrics, writer: new Writer(admission, metrics) }
    for (const plugin of [...ROUTES, ...(options.plugins ?? [])]) plugin(app, context)
    const url = await listen(app, host, options.port ?? 8080)
    return { url, catalog, close: once(() => close(app, catalog, admission, options.drainSeconds ?? 30)) }
  } catch (error) {
    await app.close()
    await catalog.close()
    throw error
  }
}

/** @throws HearthError when the address cannot be had */
async function listen(app: FastifyInstance, host: string, port: number): Promise<string> {
  try {
    return await app.listen({ host, port })
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    const why = { EADDRINUSE: 'another program has it', EACCES: 'permission is denied' }[code ?? ''] ?? message
    throw new HearthError(`cannot listen on ${host}, port ${port}: ${why}`, {
      cause,
      remedy: 'end that program, or choose another port; 0 takes any that is free',
    })
  }
}

function framework({ maxBodyBytes = 4 * 2 ** 20 }: ServeOptions): FastifyInstance {
  const app = Fastify({
    bodyLimit: maxBodyBytes,
    requestTimeout: REQUEST_PATIENCE,
    forceCloseConnections: 'idle',
    logger: false,
    // Ours, in the shape of the other errors.
    return503OnClosing: false,
  })
  // What pages can send anywhere without asking; requests are JSON.
  app.removeContentTypeParser('text/plain')
  return app
}

function watch(app: FastifyInstance, guard: Guard, metrics: ServerMetrics, report: (event: ServerEvent) => void): void {
  app.addHook('onRequest', async (request, reply) => {
    if (request.method === 'OPTIONS') return
    const origin = guard.check(request.headers, !OPEN.has(request.url))
    if (origin !== undefined) allow(reply, origin)
  })
  app.addHook('onResponse', (request, reply, done) => {
    metrics.request(routeOf(request), reply.statusCode)
    done()
  })
  app.options('/*', async (request, reply) => {
    const origin = guard.check(request.headers, false)
    if (origin !== undefined) allow(reply, origin)
    await reply
      .header('access-control-allow-methods', 'GET, POST, DELETE')
      .header('access-control-allow-headers', 'authorization, content-type')
      .code(204)
      .send()
  })
  app.setNotFoundHandler((request, reply) => {
    const error = new ApiError(404, `there is no ${request.method} ${request.url.slice(0, 200)} here`, {
      code: 'unknown_url',
    })
    return sendError(reply, error)
  })
  app.setErrorHandler((error, request, reply) => {
    const known = asApiError(error)
    if (known.status === 500) report({ kind: 'error', route: routeOf(request), error })
    return sendError(reply, known)
  })
}

const allow = (reply: FastifyReply, origin: string) =>
  reply.header('access-control-allow-origin', origin).header('vary', 'origin')

function sendError(reply: FastifyReply, error: ApiError): FastifyReply {
  if (error.retryAfter !== undefined) reply.header('retry-after', String(error.retryAfter))
  return reply.code(error.status).send(error.body)
}

/** The route and not the address: labels must not grow with what clients ask for. */
const routeOf = (request: FastifyRequest): string => request.routeOptions.url ?? 'unknown'

async function close(app: FastifyInstance, catalog: Catalog, admission: Admission, seconds: number): Promise<void> {
  admission.drain()
  const end = performance.now() + seconds * 1000
  while (admission.running > 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 20))
  // What is left fails with its model.
  await catalog.close()
  await app.close()
}

function once(action: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined
  return () => (done ??= action())
}
