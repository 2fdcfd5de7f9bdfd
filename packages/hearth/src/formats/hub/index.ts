// Models and data sets by name: the public face of this folder. The client is loaded when something is asked for.
import type { HubOptions } from './hub.js'
import type { HubName } from './name.js'

export type { HubOptions } from './hub.js'
export { parseHubName, type HubKind, type HubName } from './name.js'

/**
 * The files of a model that loading needs, safetensors before pickles.
 * @returns its folder in the cache
 * @throws HearthError when it cannot be had; FormatError when it has no weights or arrives damaged
 * @example
 * const model = loadModel(await fetchModel(parseHubName('EleutherAI/pythia-160m')!))
 */
export async function fetchModel(name: HubName, options: HubOptions = {}): Promise<string> {
  const hub = await import('./hub.js')
  return await hub.fetchModel(name, options)
}

/**
 * The files of a data set that `wanted` chooses by their paths.
 * @returns its folder in the cache
 * @throws as fetchModel()
 */
export async function fetchDataset(
  name: HubName,
  wanted: (path: string) => boolean,
  options: HubOptions = {},
): Promise<string> {
  const hub = await import('./hub.js')
  return await hub.fetchDataset(name, wanted, options)
}
