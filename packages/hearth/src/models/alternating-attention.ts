// Layers that take turns between seeing everything and seeing a band, in the keys of GPT-Neo's config.json:
// `attention_types` [[["global", "local"], 12]] is that pattern twelve times, and `attention_layers` spells it out.
import type { ConfigReader } from './config-reader.js'

const KINDS = ['global', 'local'] as const

/**
 * The window of each layer, 0 for all keys.
 * @param layers their number
 */
export function readAlternating(reader: ConfigReader, layers: number): readonly number[] {
  const window = reader.integer('window_size', 256)
  if (!Number.isInteger(layers)) return []
  const spelled = reader.list('attention_layers', KINDS, layers)
  const kinds = spelled ?? expanded(reader, layers)
  return kinds.map((kind) => (kind === 'local' ? window : 0))
}

function expanded(reader: ConfigReader, layers: number): readonly string[] {
  const key = 'attention_types'
  if (!reader.has(key)) return Array.from({ length: layers }, (_, layer) => KINDS[layer % 2]!)
  const value = reader.value(key)
  const isRun = (run: unknown): run is [string[], number] =>
    Array.isArray(run) &&
    Array.isArray(run[0]) &&
    run[0].every((kind) => KINDS.includes(kind as 'local')) &&
    Number.isInteger(run[1]) &&
    run[1] >= 0 &&
    run[0].length * run[1] <= layers
  if (Array.isArray(value) && value.every(isRun)) {
    const kinds = value.flatMap(([pattern, times]) => Array.from({ length: times }, () => pattern).flat())
    if (kinds.length === layers) return kinds
  }
  reader.issue(key, `must come to ${layers} of ${KINDS.join(', ')}, one for each layer, got ${JSON.stringify(value)}`)
  return []
}

export function writeAlternating(windows: readonly number[]): Record<string, unknown> {
  const kinds = windows.map((size) => (size > 0 ? 'local' : 'global'))
  return {
    attention_layers: kinds,
    attention_types: [[kinds, 1]],
    window_size: windows.find((size) => size > 0) ?? 256,
  }
}
