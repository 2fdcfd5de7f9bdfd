// What a line of `hearth serve` means: which models under which names, which adapters on them, who may call.
import { adapterBase, isAdapterFolder } from 'hearth/adapt'
import type { ServeOptions } from 'hearth/serve'
import { existsSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { CommandError, UsageError } from './failure.js'
import { findRun } from './locate.js'
import { finishedModelOf } from './model-source.js'

export interface ServeLine {
  adapter: readonly string[]
  host: string
  port: number
  key: readonly string[]
  allowHost: readonly string[]
  allowOrigin: readonly string[]
  quantize: string | undefined
  threads: number | undefined
  maxRequests: number
  maxBody: number
  drain: number
}

/**
 * @throws UsageError for an adapter that is not NAME=DIR, CommandError for a model that is not there
 */
export function readServeLine(models: readonly string[], line: ServeLine): ServeOptions {
  const environment = process.env.HEARTH_API_KEY
  const keys = [...line.key, ...(environment === undefined || environment === '' ? [] : [environment])]
  const { threads } = line
  const quantize = line.quantize as 'int8' | 'int4' | undefined
  return {
    models: models.map((word) => ({ ...modelAt(word), quantize, threads })),
    adapters: readAdapters(line.adapter),
    host: line.host,
    port: line.port,
    keys,
    allowedHosts: line.allowHost,
    allowedOrigins: line.allowOrigin,
    maxRequests: line.maxRequests,
    maxBodyBytes: line.maxBody * 2 ** 20,
    drainSeconds: line.drain,
  }
}

/** MODEL, or MODEL=NAME; a folder whose own name has an equals sign is itself. */
function modelAt(word: string): { name: string; path: string; worn?: string } {
  const equals = existsSync(word) ? -1 : word.lastIndexOf('=')
  const place = equals < 0 ? word : word.slice(0, equals)
  const name = equals < 0 ? basename(resolve(place)).replace(/\.gguf$/, '') : word.slice(equals + 1)
  return { name, ...filesOf(place) }
}

function filesOf(place: string): { path: string; worn?: string } {
  const run = findRun(place)
  if (run === undefined) {
    if (existsSync(place)) return { path: resolve(place) }
    throw new CommandError(`there is no model folder and no run ${JSON.stringify(place)}`, 'hearth runs lists the runs')
  }
  const adapter = join(run, 'adapter')
  if (isAdapterFolder(adapter)) {
    const base = adapterBase(adapter)
    if (base === undefined) throw new CommandError(`${adapter} names no base model`, 'give the base, and --adapter')
    return { path: base, worn: resolve(adapter) }
  }
  const model = finishedModelOf(run)
  if (existsSync(model)) return { path: resolve(model) }
  throw new CommandError(`the run ${run} is not finished: it has no model to serve`, `hearth resume ${run}`)
}

function readAdapters(words: readonly string[]): NonNullable<ServeOptions['adapters']> {
  const read = words.map((word) => {
    const match = /^([^=@]+)(?:@([^=]+))?=(.+)$/.exec(word)
    if (!match) return { word }
    const [, name, base, place] = match
    return { name: name!, folder: adapterFolder(place!), ...(base !== undefined && { base }) }
  })
  const wrong = read.flatMap((each) => ('word' in each ? [each.word] : []))
  if (wrong.length > 0)
    throw new UsageError(
      wrong.map((word) => `--adapter takes NAME=DIR; got ${JSON.stringify(word)}`),
      'serve',
    )
  return read.filter((each) => 'name' in each)
}

function adapterFolder(place: string): string {
  const run = findRun(place)
  const folder = run === undefined ? place : join(run, 'adapter')
  if (isAdapterFolder(folder)) return resolve(folder)
  throw new CommandError(`${folder} is no adapter folder`, 'it should hold adapter_config.json and the weights')
}
