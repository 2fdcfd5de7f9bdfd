// POST /v1/embeddings: a vector for each text.
import type { Admission } from '../admission.js'
import { ApiError, parseBody } from '../api-error.js'
import type { ServedModel } from '../catalog.js'
import { promptIds } from '../prompts.js'
import { embeddingsSchema } from '../schemas/embeddings.js'
import type { RoutePlugin } from './route.js'

/** Texts that are in the model at once; the others of the request wait. */
const AT_ONCE = 8

export const embeddings: RoutePlugin = (app, { catalog, admission }) => {
  app.post('/v1/embeddings', async (request) => {
    const body = parseBody(embeddingsSchema, request.body)
    const model = catalog.get(body.model)
    const prompts = body.input.map((text, i) => promptIds(model, text, { param: `input[${i}]` }))
    const vectors = await embedAll(model, prompts, admission)
    const tokens = prompts.reduce((sum, ids) => sum + ids.length, 0)
    return {
      object: 'list',
      model: model.name,
      data: vectors.map((vector, index) => {
        const shown = body.dimensions === undefined ? vector : shortened(vector, body.dimensions)
        const embedding =
          body.encoding_format === 'base64'
            ? Buffer.from(shown.buffer, shown.byteOffset, shown.byteLength).toString('base64')
            : [...shown]
        return { object: 'embedding', index, embedding }
      }),
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    }
  })
}

async function embedAll(
  { host, adapter }: ServedModel,
  prompts: readonly number[][],
  admission: Admission,
): Promise<Float32Array[]> {
  const place = admission.enter()
  try {
    const vectors: Float32Array[] = []
    for (let start = 0; start < prompts.length; start += AT_ONCE) {
      const some = prompts.slice(start, start + AT_ONCE)
      vectors.push(...(await Promise.all(some.map((ids) => host.embed(ids, adapter)))))
    }
    return vectors
  } finally {
    place[Symbol.dispose]()
  }
}

/** The first numbers of a vector, at length one again. */
function shortened(vector: Float32Array, dimensions: number): Float32Array {
  if (dimensions > vector.length)
    throw new ApiError(400, `must be at most ${vector.length} for this model`, { param: 'dimensions' })
  const part = vector.slice(0, dimensions)
  const length = Math.hypot(...part)
  return length === 0 ? part : part.map((value) => value / length)
}
