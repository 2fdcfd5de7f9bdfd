// hearth/studio: the server's side of the web page: its files, and what it asks of runs and of the planner. A plug-in of the
// server of hearth/serve, whose guard it stands behind.
import type { Hardware } from '../plan/index.js'
import { catalogue } from '../plan/index.js'
import type { RoutePlugin } from '../serve/index.js'
import { modelsRoutes } from './models-routes.js'
import { pageRoutes } from './page.js'
import { planRoutes } from './plan-routes.js'
import { runsRoutes } from './runs-routes.js'

export { downsample, type Curve } from './downsample.js'
export { MetricColumns, METRICS, type Columns, type Metric } from './metric-columns.js'

export interface StudioOptions {
  /** Folder of the built page. */
  page: string
  /** Folder that holds the runs. */
  runs: string
  /** Folder that holds models of other origin. @default models */
  models?: string
  /** What can be planned with. @default the catalogue */
  hardware?: () => Readonly<Record<string, Hardware>>
}

/**
 * The Studio as a plug-in of serve().
 * @throws HearthError when the page was not built
 * @example
 * const server = await serve({ models: [], plugins: [studio({ page: 'packages/studio/dist', runs: 'runs' })] })
 */
export function studio({ page, runs, models = 'models', hardware = () => catalogue }: StudioOptions): RoutePlugin {
  return (app) => {
    pageRoutes(app, page)
    runsRoutes(app, runs)
    modelsRoutes(app, { runs, models })
    planRoutes(app, hardware)
  }
}
