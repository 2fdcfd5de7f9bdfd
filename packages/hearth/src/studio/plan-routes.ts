// What the page asks of the planner: a plan, ceilings, and the ceiling as a curve over the money.
import { ConfigError } from '@hearth/torch'
import type { FastifyInstance } from 'fastify'
import { presetNames } from '../models/index.js'
import {
  ceilingCurve,
  ceilingFor,
  diffusionTransformerNames,
  goalsOf,
  leversFor,
  planTraining,
  readMeans,
  readPlan,
  type Hardware,
  type PlanInput,
} from '../plan/index.js'
import { ApiError } from '../serve/index.js'

/** Points of the curve, and how far below and above the budget it goes. */
const [POINTS, SPAN] = [13, 30]

export function planRoutes(app: FastifyInstance, hardware: () => Readonly<Record<string, Hardware>>): void {
  app.get('/studio/api/plan', () => ({
    models: [...presetNames, ...diffusionTransformerNames],
    hardware: hardware(),
  }))

  app.post('/studio/api/plan', (request) =>
    told(() => {
      const { model, ...rest } = objectIn(request.body) as unknown as PlanInput
      // A path would be opened: pages name models that are known.
      if (
        typeof model !== 'string' ||
        !(/^\d+x\d+$/.test(model) || [...presetNames, ...diffusionTransformerNames].includes(model))
      )
        throw new ApiError(400, 'the model is no preset and no LAYERSxWIDTH', { code: 'unknown_model' })
      return planTraining(readPlan({ ...rest, model }, hardware()))
    }),
  )

  app.post('/studio/api/ceilings', (request) =>
    told(() => {
      const { goal, ...input } = objectIn(request.body)
      const means = readMeans(input, hardware())
      const goals = goalsOf(means)
      const asked = goals.find((each) => each === goal) ?? 'train'
      const budget = means.budget ?? 0
      const budgets = Array.from({ length: POINTS }, (_, i) => budget * SPAN ** ((2 * i) / (POINTS - 1) - 1))
      const ceilings = goals.map((each) => ceilingFor(each, means))
      return {
        ceilings,
        goal: asked,
        levers: leversFor(ceilings[goals.indexOf(asked)]!, means, hardware()),
        curve: budget === 0 ? [] : ceilingCurve('train', means, budgets),
      }
    }),
  )
}

function objectIn(body: unknown): Record<string, unknown> {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Record<string, unknown>
  throw new ApiError(400, 'expected a JSON object', { code: 'invalid_body' })
}

/** Mistakes in what was asked, as answers. */
function told<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    if (error instanceof ConfigError)
      throw new ApiError(400, error.issues.map(({ path, message }) => `${path}: ${message}`).join('\n'), {
        code: 'invalid_plan',
      })
    throw error
  }
}
