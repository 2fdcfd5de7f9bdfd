// GET /v1/models and its like: what is served, under which names; DELETE ends the service of an adapter.
import type { ServedModel } from '../catalog.js'
import type { RoutePlugin } from './route.js'

export const models: RoutePlugin = (app, { catalog }) => {
  app.get('/v1/models', () => ({ object: 'list', data: catalog.models.map(asObject) }))

  // Names may hold slashes: `EleutherAI/pythia-160m`.
  app.get<{ Params: { '*': string } }>('/v1/models/*', ({ params }) => asObject(catalog.get(params['*'])))

  app.delete<{ Params: { '*': string } }>('/v1/models/*', async ({ params }) => {
    const id = params['*']
    await catalog.removeAdapter(id)
    return { id, object: 'model', deleted: true }
  })
}

const asObject = ({ name, base, adapter, created, facts }: ServedModel) => ({
  id: name,
  object: 'model',
  created,
  owned_by: 'hearth',
  ...(adapter !== undefined && { parent: base }),
  max_model_len: facts.contextLength,
})
