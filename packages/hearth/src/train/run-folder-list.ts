// The runs under a folder, as `hearth runs` shows them. Reads only; a run that is damaged is shown as such.
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { HearthError } from '@hearth/torch'
import { readLastMetrics } from './metrics.js'
import { findHolder } from './run-folder-lock.js'
import { readRun, readStatus, runPaths } from './run-folder.js'

/** One run. */
export interface RunSummary {
  name: string
  folder: string
  /** `stopped` by its user or by a crash: it can be resumed. `damaged`: its configuration cannot be read. */
  state: 'running' | 'stopped' | 'finished' | 'damaged'
  /** Steps logged so far; 0 before the first. */
  step: number
  /** Steps it is to do. */
  of?: number
  /** The last that were logged. */
  loss?: number
  heldOutLoss?: number
  tokensPerSecond?: number
  startedAt?: string
  updatedAt: string
}

/**
 * The runs in the folders directly under `root`, the last to change first.
 * @returns none when there is no such folder
 */
export function listRuns(root: string): RunSummary[] {
  if (!existsSync(root)) return []
  const folders = readdirSync(root).map((name) => ({ name, folder: join(resolve(root), name) }))
  const runs = folders.filter(({ folder }) => existsSync(runPaths(folder).config)).map(summarise)
  return runs.sort((a, b) => b.updatedAt.localeCompare(a.updatedAt))
}

function summarise({ name, folder }: { name: string; folder: string }): RunSummary {
  const lines = readLastMetrics(runPaths(folder).metrics)
  const last = lines.at(-1)
  const heldOutLoss = lines.findLast((line) => line.heldOutLoss !== undefined)?.heldOutLoss
  return {
    name,
    folder,
    ...describeRun(folder),
    step: last?.step ?? 0,
    ...(last && { loss: last.loss, tokensPerSecond: last.tokensPerSecond }),
    ...(heldOutLoss !== undefined && { heldOutLoss }),
    updatedAt: last?.time ?? statSync(runPaths(folder).config).mtime.toISOString(),
  }
}

function describeRun(folder: string): Pick<RunSummary, 'state' | 'startedAt' | 'of'> {
  try {
    const { createdAt, config } = readRun<{ steps?: unknown }>(folder)
    const state = readStatus(folder)?.state ?? 'stopped'
    return {
      // Who is killed cannot write that it stopped.
      state: findHolder(folder) ? 'running' : state === 'running' ? 'stopped' : state,
      startedAt: createdAt,
      ...(typeof config.steps === 'number' && { of: config.steps }),
    }
  } catch (error) {
    if (!(error instanceof HearthError)) throw error
    return { state: 'damaged' }
  }
}
