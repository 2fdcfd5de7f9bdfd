// What a route of the server is given, and the list that they are plugged in by. Pictures and whatever else comes later are
// further entries of that list.
import { setMaxListeners } from 'node:events'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Admission } from '../admission.js'
import type { Catalog } from '../catalog.js'
import type { ServerMetrics } from '../metrics.js'
import type { Writer } from '../writing.js'

/** What routes share. */
export interface ServerContext {
  catalog: Catalog
  admission: Admission
  metrics: ServerMetrics
  writer: Writer
}

/** Adds its routes to the server. */
export type RoutePlugin = (app: FastifyInstance, context: ServerContext) => void

/** Aborted when the client goes away before its answer is whole. */
export function clientGone(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  // Each text of the request listens.
  setMaxListeners(0, controller.signal)
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort()
  })
  return controller.signal
}

/** Unix seconds, as OpenAI's objects have them. */
export const unixSeconds = (): number => Math.floor(Date.now() / 1000)
