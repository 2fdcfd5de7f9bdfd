// hearth/serve: models behind the HTTP API that clients of OpenAI's already speak.
export { ApiError, type ErrorBody } from './api-error.js'
export { Catalog, type BaseOptions, type ServedModel } from './catalog.js'
export { isLoopback } from './guard.js'
export type { JobLaunch, LaunchJob } from './jobs/job-runner.js'
export { hyperparametersOf } from './jobs/job.js'
export { fineTuning, type FineTuningOptions } from './routes/fine-tuning.js'
export type { RoutePlugin, ServerContext } from './routes/route.js'
export { serve, type ServeOptions, type Server, type ServerEvent } from './server.js'
