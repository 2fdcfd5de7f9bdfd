// Mistral's configuration: LLaMA's keys and a window that every layer has, or none.
import { ConfigReader } from '../config-reader.js'
import { readWindows, windowOf } from '../layer-windows.js'
import { readLlama, writeLlama, type LlamaConfig } from '../llama/config.js'

/** Reads config.json; see Family.parseConfig. `sliding_window` is 4096 where it is missing, and none where it is null. */
export function parseConfig(json: unknown, where = 'mistral configuration'): LlamaConfig {
  const reader = new ConfigReader(json, where)
  const shared = readLlama(reader, {
    vocabularySize: 32_000,
    begin: 1,
    end: 2,
    feedForward: 14_336,
    keyValueHeads: 8,
    contextLength: 131_072,
  })
  const config = { ...shared, windows: readWindows(reader, shared.layers, reader.optional('sliding_window', 4096), 0) }
  reader.finish()
  return config
}

export function toConfig(config: LlamaConfig): Record<string, unknown> {
  return {
    architectures: ['MistralForCausalLM'],
    model_type: 'mistral',
    ...writeLlama(config),
    sliding_window: windowOf(config.windows),
  }
}
