// What the page asks of models: those that the runs made, and those in a folder, each with its sizes. Weights are not read.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { HearthError } from '@hearth/torch'
import type { FastifyInstance } from 'fastify'
import { configure } from '../models/index.js'
import { countTensors, plannedModel } from '../plan/index.js'
import { listRuns } from '../train/index.js'

interface ModelRow {
  name: string
  from: 'run' | 'folder'
  /** What is wrong with it, where it cannot be read. */
  problem?: string
  family?: string
  parameters?: number
  tensors?: number
  layers?: number
  width?: number
  contextLength?: number
  tokenizer: boolean
  /** Of all its files. */
  bytes: number
}

/** @param folders holds the runs, and models of other origin */
export function modelsRoutes(app: FastifyInstance, folders: { runs: string; models: string }): void {
  app.get('/studio/api/models', () => {
    const made = listRuns(folders.runs).map(({ name, folder }) => ({
      name,
      from: 'run' as const,
      path: join(folder, 'model'),
    }))
    const names = existsSync(folders.models) ? readdirSync(folders.models) : []
    const kept = names.map((name) => ({ name, from: 'folder' as const, path: join(folders.models, name) }))
    const models = [...made, ...kept].filter(({ path }) => existsSync(join(path, 'config.json')))
    return { ...folders, models: models.map(({ path, ...row }): ModelRow => ({ ...row, ...describe(path) })) }
  })
}

function describe(path: string): Omit<ModelRow, 'name' | 'from'> {
  const files = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isFile())
  const bytes = files.reduce((sum, { name }) => sum + statSync(join(path, name)).size, 0)
  const common = { tokenizer: existsSync(join(path, 'tokenizer.json')), bytes }
  try {
    const found = configure(JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')))
    const planned = plannedModel(path, found)
    const { parameters, layers, width, contextLength } = planned.shape
    return {
      ...common,
      family: found.family.name,
      parameters,
      tensors: countTensors(planned),
      layers,
      width,
      contextLength,
    }
  } catch (error) {
    if (!(error instanceof HearthError || error instanceof SyntaxError)) throw error
    return { ...common, problem: error.message }
  }
}
