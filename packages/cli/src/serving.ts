// What a line of `hearth serve` means: which models under which names, which adapters on them, who may call.
import { adapterBase, isAdapterFolder } from 'hearth/adapt'
import { fineTuning, type ServeOptions } from 'hearth/serve'
import { existsSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { CommandError, UsageError } from './failure.js'
import { launchJob } from './fine-tuning-job.js'
import { localModel } from './hub-model.js'
import { findRun } from './locate.js'
import { finishedModelOf } from './model-source.js'

export interface ServeLine {
  adapter: readonly string[]
  host: string
  port: number
  key: readonly string[]
  allowHost: readonly string[]
  allowOrigin: readonly string[]
  data: string
  quantize: string | undefined
  threads: number | undefined
  maxRequests: number
  maxBody: number
  drain: number
}

/**
 * @throws UsageError for an adapter that is not NAME=DIR, CommandError for a model that is not there
 */
export async function readServeLine(models: readonly string[], line: ServeLine): Promise<ServeOptions> {
  const environment = process.env.HEARTH_API_KEY
  const keys = [...line.key, ...(environment === undefined || environment === '' ? [] : [environment])]
  const { threads } = line
  const quantize = line.quantize as 'int8' | 'int4' | undefined
  return {
    models: await Promise.all(models.map(async (word) => ({ ...(await modelAt(word)), quantize, threads }))),
    adapters: readAdapters(line.adapter),
    host: line.host,
    port: line.port,
    keys,
    allowedHosts: line.allowHost,
    allowedOrigins: line.allowOrigin,
    maxRequests: line.maxRequests,
    maxBodyBytes: line.maxBody * 2 ** 20,
    drainSeconds: line.drain,
    plugins: [fineTuning({ folder: resolve(line.data), launch: launchJob })],
  }
}

/** MODEL, or MODEL=NAME; a folder whose own name has an equals sign is itself. */
async function modelAt(word: string): Promise<{ name: string; path: string; worn?: string }> {
  const equals = existsSync(word) ? -1 : word.lastIndexOf('=')
  const place = equals < 0 ? word : word.slice(0, equals)
  const name = equals < 0 ? basename(resolve(place)).replace(/\.gguf$/, '') : word.slice(equals + 1)
  return { name, ...(await filesOf(place)) }
}

async function filesOf(place: string): Promise<{ path: string; worn?: string }> {
  const run = findRun(place)
  if (run === undefined) {
    const local = await localModel(place)
    if (existsSync(local)) return { path: resolve(local) }
    throw new CommandError(`there is no model folder and no run ${JSON.stringify(place)}`, 'hearth runs lists the runs')
  }
  const adapter = join(run, 'adapter')
  if (isAdapterFolder(adapter)) {
    const base = adapterBase(adapter)
    if (base === undefined) throw new CommandError(`${adapter} names no base model`, 'give the base, and --adapter')
    return { path: resolve(await localModel(base)), worn: resolve(adapter) }
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
