// GET /health, for whoever watches the server; GET /metrics, for Prometheus.
import type { RoutePlugin } from './route.js'

/** Milliseconds that a model has to answer how it is. */
const PATIENCE = 1000

export const health: RoutePlugin = (app, { catalog, admission, metrics }) => {
  metrics.gauge('hearth_texts_in_progress', 'Texts being written or waiting', () => admission.running)
  metrics.gauge('hearth_resident_bytes', 'Memory of the server without its models', () => process.memoryUsage.rss())
  const state = metrics.modelGauge('hearth_model_state', 'What the model’s process says of itself')
  const states = new Map<string, ReturnType<typeof metrics.modelGauge>>()

  app.get('/health', (_request, reply) => {
    const failed = catalog.models.filter(({ host }) => host.failed).map(({ name }) => name)
    const status = admission.draining ? 'draining' : failed.length > 0 ? 'failed' : 'ok'
    return reply.code(status === 'ok' ? 200 : 503).send({ status, ...(failed.length > 0 && { failed }) })
  })

  app.get('/metrics', async (_request, reply) => {
    for (const { name, adapter, host } of catalog.models) {
      if (adapter !== undefined) continue
      const late = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), PATIENCE).unref())
      const stats = await Promise.race([host.stats().catch(() => undefined), late])
      state.set({ model: name }, stats === undefined ? 0 : 1)
      for (const [key, value] of Object.entries(stats ?? {})) {
        const gauge = states.get(key) ?? metrics.modelGauge(`hearth_model_${key}`, `${key}, as the engine counts it`)
        states.set(key, gauge)
        gauge.set({ model: name }, value)
      }
    }
    return reply.type(metrics.registry.contentType).send(await metrics.registry.metrics())
  })
}
