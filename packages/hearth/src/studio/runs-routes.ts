// What the page asks of runs: which there are, one in detail, its curves. Reads only; a run may vanish at any moment.
import { existsSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { ApiError } from '../serve/index.js'
import { listRuns, readEvents, readRun, runPaths, type RunSummary } from '../train/index.js'
import { downsample, type Curve } from './downsample.js'
import { METRICS, MetricColumns, type Metric } from './metric-columns.js'

/** Events that a page is shown. */
const LAST_EVENTS = 500

const range = z.object({
  metrics: z.string().max(500).default('loss'),
  from: z.coerce.number().min(0).optional(),
  to: z.coerce.number().min(0).optional(),
  buckets: z.coerce.number().int().min(2).max(4000).default(600),
})

/** @param root folder that holds the runs */
export function runsRoutes(app: FastifyInstance, root: string): void {
  const known = new Map<string, MetricColumns>()

  app.get('/studio/api/runs', () => ({ root, runs: listRuns(root).map(({ folder: _, ...run }) => run) }))

  app.get<{ Params: { name: string } }>('/studio/api/runs/:name', (request) => {
    const { folder, ...summary } = find(root, request.params.name)
    const paths = runPaths(folder)
    const events = readEvents(paths.events)
    const record = summary.state === 'damaged' ? undefined : readRun(folder)
    return { ...summary, config: record?.config, versions: record?.versions, events: events.slice(-LAST_EVENTS) }
  })

  app.get<{ Params: { name: string } }>('/studio/api/runs/:name/curves', async (request) => {
    const { folder } = find(root, request.params.name)
    const query = range.safeParse(request.query)
    if (!query.success)
      throw new ApiError(400, `the range is wrong: ${query.error.issues[0]!.message}`, { code: 'invalid_range' })
    const { metrics, ...rest } = query.data
    const columns = known.get(folder) ?? new MetricColumns(runPaths(folder).metrics)
    known.set(folder, columns)
    const read = await columns.read()
    const curves: Partial<Record<Metric, Curve>> = {}
    for (const metric of METRICS.filter((each) => metrics.split(',').includes(each)))
      curves[metric] = downsample(read, metric, rest)
    return { lastStep: read.step.at(-1) ?? 0, curves }
  })
}

/** @throws ApiError 404 when there is no such run, or not any more */
function find(root: string, name: string): RunSummary {
  const found = listRuns(root).find((run) => run.name === name)
  if (found !== undefined && existsSync(found.folder)) return found
  throw new ApiError(404, `there is no run ${JSON.stringify(name.slice(0, 100))} in ${root}`, {
    code: 'run_not_found',
    remedy: 'it may have been moved or deleted; the list of runs shows what is there',
  })
}
