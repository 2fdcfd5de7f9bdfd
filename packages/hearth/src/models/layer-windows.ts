// Which layers see only a window, in config.json: transformers v5 names each layer's kind, v4 said where windows begin.
import type { ConfigReader } from './config-reader.js'

const KINDS = ['full_attention', 'sliding_attention'] as const

/**
 * The window of each layer, 0 for all keys; empty where every layer sees all.
 * @param window undefined where the configuration has none
 * @param first the first layer with a window, where `layer_types` does not say
 */
export function readWindows(
  reader: ConfigReader,
  layers: number,
  window: number | undefined,
  first: number,
): readonly number[] {
  if (!Number.isInteger(layers)) return []
  const kinds = reader.list('layer_types', KINDS, layers)
  const slides = (layer: number) => (kinds ? kinds[layer] === 'sliding_attention' : layer >= first)
  if (kinds?.includes('sliding_attention') && window === undefined)
    reader.issue('sliding_window', 'is missing, which layer_types needs')
  const windows = Array.from({ length: layers }, (_, layer) => (slides(layer) ? (window ?? 0) : 0))
  return windows.some((size) => size > 0) ? windows : []
}

/** The window, null where there is none. */
export const windowOf = (windows: readonly number[]): number | null => windows.find((size) => size > 0) ?? null

/** `layer_types` of transformers v5. */
export const layerTypes = (windows: readonly number[], layers: number): readonly string[] =>
  Array.from({ length: layers }, (_, layer) => KINDS[(windows[layer] ?? 0) > 0 ? 1 : 0])
