// /v1/files and /v1/fine_tuning/jobs: adapting a served model to rows of one's own, on this machine. A plug-in of the
// server: it is there where a folder for it is.
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import multipart from '@fastify/multipart'
import type { FastifyInstance } from 'fastify'
import { badRequest, parseBody } from '../api-error.js'
import { FileStore } from '../jobs/file-store.js'
import { JobRunner, type LaunchJob } from '../jobs/job-runner.js'
import { fineTuningSchema } from '../schemas/fine-tuning.js'
import type { RoutePlugin } from './route.js'

export interface FineTuningOptions {
  /** Keeps files and jobs. */
  folder: string
  launch: LaunchJob
  /** @default 512 MiB */
  maxFileBytes?: number
}

const PURPOSES = ['fine-tune', 'user_data']

export function fineTuning({ folder, launch, maxFileBytes = 512 * 2 ** 20 }: FineTuningOptions): RoutePlugin {
  return (app, { catalog }) => {
    const files = new FileStore(join(folder, 'files'))
    const runner = new JobRunner(join(folder, 'jobs'), catalog, launch, (id) => files.path(id))
    app.addHook('onReady', () => runner.begin())
    app.addHook('onClose', () => runner.close())
    // In a scope of its own: bodies of other kinds are for these routes alone.
    void app.register(async (scope) => {
      await scope.register(multipart, { limits: { fileSize: maxFileBytes, files: 1, fields: 8, fieldSize: 1024 } })
      fileRoutes(scope, files, maxFileBytes)
    })
    jobRoutes(app, runner, (name, file) => {
      files.get(file)
      const model = catalog.get(name)
      if (model.adapter !== undefined)
        throw badRequest('is an adapter; name the base that it is on, and train from there', 'model')
      return model
    })
  }
}

function fileRoutes(app: FastifyInstance, files: FileStore, maxFileBytes: number): void {
  app.post('/v1/files', { bodyLimit: maxFileBytes + 2 ** 16 }, async (request) => {
    if (!request.isMultipart()) throw badRequest('must be multipart/form-data with a file and a purpose')
    const part = await request.file()
    if (part === undefined) throw badRequest('is missing', 'file')
    const file = await files.save(part.file, part.filename, 'fine-tune')
    // Fields may come after the file.
    const field = part.fields.purpose
    const purpose = field !== undefined && 'value' in field ? field.value : undefined
    if (typeof purpose === 'string' && PURPOSES.includes(purpose)) return file
    files.remove(file.id)
    throw badRequest(`must be one of ${PURPOSES.join(', ')}`, 'purpose')
  })
  app.get('/v1/files', () => ({ object: 'list', data: files.list(), has_more: false }))
  app.get<{ Params: { id: string } }>('/v1/files/:id', ({ params }) => files.get(params.id))
  app.get<{ Params: { id: string } }>('/v1/files/:id/content', ({ params }, reply) =>
    reply.type('application/octet-stream').send(createReadStream(files.path(params.id))),
  )
  app.delete<{ Params: { id: string } }>('/v1/files/:id', ({ params: { id } }) => {
    files.remove(id)
    return { id, object: 'file', deleted: true }
  })
}

function jobRoutes(
  app: FastifyInstance,
  runner: JobRunner,
  check: (model: string, file: string) => Parameters<JobRunner['create']>[1],
): void {
  const root = '/v1/fine_tuning/jobs'
  const list = (data: readonly object[]) => ({ object: 'list', data, has_more: false })
  app.post(root, (request) => {
    const body = parseBody(fineTuningSchema, request.body)
    return runner.create(body, check(body.model, body.training_file)).body
  })
  app.get(root, () => list(runner.jobs.map(({ body }) => body)))
  app.get<{ Params: { id: string } }>(`${root}/:id`, ({ params }) => runner.get(params.id).body)
  app.get<{ Params: { id: string } }>(`${root}/:id/events`, ({ params }) => list(runner.get(params.id).events))
  app.get<{ Params: { id: string } }>(`${root}/:id/checkpoints`, async ({ params }) =>
    list(await runner.get(params.id).checkpoints()),
  )
  app.post<{ Params: { id: string } }>(
    `${root}/:id/cancel`,
    async ({ params }) => (await runner.cancel(params.id)).body,
  )
}
