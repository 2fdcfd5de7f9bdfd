// Qwen2's configuration: LLaMA's keys, and windows in the upper layers where they are switched on.
import { ConfigReader } from '../config-reader.js'
import { layerTypes, readWindows, windowOf } from '../layer-windows.js'
import { readLlama, writeLlama, type LlamaConfig, type LlamaDefaults } from '../llama/config.js'

const DEFAULTS: LlamaDefaults = { vocabularySize: 151_936, feedForward: 22_016, contextLength: 32_768 }

/** The keys that Qwen2 and Qwen3 share. */
export function readQwen(reader: ConfigReader, defaults: Partial<LlamaDefaults> = {}): LlamaConfig {
  const shared = readLlama(reader, { ...DEFAULTS, ...defaults })
  const window = reader.flag('use_sliding_window', false) ? reader.optional('sliding_window', 4096) : undefined
  const first = reader.integer('max_window_layers', 28, { min: 0 })
  return { ...shared, windows: readWindows(reader, shared.layers, window, first) }
}

export function writeQwen(config: LlamaConfig): Record<string, unknown> {
  const { windows, layers } = config
  const first = windows.findIndex((size) => size > 0)
  return {
    ...writeLlama(config),
    use_sliding_window: first >= 0,
    sliding_window: windowOf(windows),
    max_window_layers: first < 0 ? layers : first,
    layer_types: layerTypes(windows, layers),
  }
}

/** Reads config.json; see Family.parseConfig. */
export function parseConfig(json: unknown, where = 'qwen2 configuration'): LlamaConfig {
  const reader = new ConfigReader(json, where)
  const config = { ...readQwen(reader), attentionBias: true }
  reader.finish()
  return config
}

export const toConfig = (config: LlamaConfig): Record<string, unknown> => ({
  architectures: ['Qwen2ForCausalLM'],
  model_type: 'qwen2',
  ...writeQwen(config),
})
