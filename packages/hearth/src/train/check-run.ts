// What can be wrong with a run is found before any work starts, and all of it is said together.
import { ConfigError, cudaDeviceCount, DataError } from '@hearth/torch'
import { targetModules } from '../adapt/index.js'
import { listCheckpoints, realStorage } from '../checkpoint/index.js'
import { loadModel } from '../formats/index.js'
import type { RunConfig } from './config.js'
import { checkPlaces } from './copies/check-places.js'
import { allOrMistakes } from './mistakes.js'
import { optimizerOf, scheduleOf } from './optimizer.js'
import type { Run } from './run-folder.js'
import type { RunOptions } from './run.js'
import { checkModel } from './run-model.js'
import { partsOf } from './shares.js'
import { checkSharding } from './sharded/stages.js'
import { frozenPaths } from './trained-part.js'
import { checkTextSources } from './text-data.js'

/** Who shares the work of a run, as it is asked for: worker processes, or ranks, or nobody. */
export type Crew = Pick<RunOptions, 'workers' | 'minWorkers' | 'replaceSlow' | 'ranks'>

/** Every mistake that can be seen before work starts, together. */
export async function findMistakes(config: RunConfig, crew: Crew): Promise<void> {
  await allOrMistakes([() => checkTextSources(config), ...checksBesideText(config, crew)])
}

/** What findMistakes() looks at besides the text. */
export function checksBesideText(config: RunConfig, crew: Crew): (() => unknown)[] {
  return [
    () => checkModel(config),
    () => checkAdaptation(config),
    () => checkDevice(config),
    () => optimizerOf(config, 'float32'),
    () => scheduleOf(config),
    () => checkCrew(config, crew),
    () => checkPlaces(config),
  ]
}

/** @throws ConfigError when what is to be trained is not in the model */
function checkAdaptation(config: RunConfig): void {
  const { adapt, model } = config
  if (adapt === undefined || model.folder === undefined) return
  const base = loadModel(model.folder)
  if (adapt.method === 'freeze') frozenPaths(adapt, base)
  else if (adapt.method !== 'full') targetModules(base, adapt.targets, adapt.exclude)
}

export function checkDevice({ device }: RunConfig): void {
  const found = cudaDeviceCount()
  const wanted = device === 'cpu' ? 0 : Number(device.split(':')[1] ?? 0) + 1
  if (wanted > found)
    throw new ConfigError('configuration', [
      { path: 'device', message: `${device} is not there: this libtorch sees ${found} GPUs` },
    ])
}

/**
 * Notes which tokens a run trains on, and holds it to them once there is a checkpoint.
 * @throws DataError when they are others
 */
export async function keepData(run: Run<RunConfig>, hash: string): Promise<void> {
  const { data } = run.record
  if (data === hash) return
  if (data !== undefined && (await listCheckpoints(realStorage, run.paths.checkpoints)).length > 0)
    throw new DataError(`the tokens of ${run.folder} are not those that it was trained on: its bits would change`, {
      remedy: 'put back the sources as they were, and the tokens; or start a new run',
    })
  run.change({ data: hash })
}

/** @throws ConfigError when they cannot share a step of this run */
export function checkCrew(config: RunConfig, crew: Crew): void {
  const { workers, ranks } = crew
  if (workers !== undefined && ranks !== undefined) {
    const message = 'a run has either workers, which share one memory, or ranks, which have shards in their own'
    throw new ConfigError('ranks', [{ path: 'ranks', message }])
  }
  checkAlone(config, crew)
  const { name: optimizer, moments } = config.optimizer
  if (ranks && config.adapt) {
    const message = 'an adaptation is not sharded yet: give it workers, or neither'
    throw new ConfigError('ranks', [{ path: 'ranks', message }])
  }
  if (ranks) checkSharding({ ...ranks, slots: config.slots, optimizer, moments, device: config.device })
  checkWorkers(config, crew)
}

/**
 * The state that processes share is float32, and their gradients are added up before an update.
 * @throws ConfigError when others are to take part in a run that keeps it otherwise
 */
export function checkAlone({ weights, updateInBackward }: RunConfig, { workers, ranks }: Crew): void {
  const path = updateInBackward ? 'updateInBackward' : weights === 'bfloat16' ? 'weights' : undefined
  if (path === undefined || (workers === undefined && ranks === undefined)) return
  const message = 'is for a run in one process: leave it out, or train without workers, ranks and other machines'
  throw new ConfigError('configuration', [{ path, message }])
}

function checkWorkers({ slots, device }: RunConfig, { workers, minWorkers, replaceSlow }: Crew): void {
  const refuse = (path: string, message: string) => new ConfigError('workers', [{ path, message }])
  if (workers === undefined) {
    if (minWorkers !== undefined || replaceSlow) throw refuse('workers', 'a run without workers has none to replace')
    return
  }
  if (minWorkers !== undefined && minWorkers > workers)
    throw refuse('minWorkers', `${minWorkers} are to be enough, but there are ${workers} workers`)
  partsOf(slots, workers)
  if (device !== 'cpu') throw refuse('device', `workers compute on the cpu, got ${device}`)
}
