// Qwen3's configuration: Qwen2's keys; the width of a head is a number of its own.
import { ConfigReader } from '../config-reader.js'
import type { LlamaConfig } from '../llama/config.js'
import { readQwen, writeQwen } from '../qwen2/config.js'

/** Reads config.json; see Family.parseConfig. */
export function parseConfig(json: unknown, where = 'qwen3 configuration'): LlamaConfig {
  const reader = new ConfigReader(json, where)
  const attentionBias = reader.flag('attention_bias', false)
  const config = {
    ...readQwen(reader, { keyValueHeads: 32, headDim: 128 }),
    attentionBias,
    outBias: attentionBias,
    queryKeyNorm: true,
  }
  reader.finish()
  return config
}

export const toConfig = (config: LlamaConfig): Record<string, unknown> => ({
  architectures: ['Qwen3ForCausalLM'],
  model_type: 'qwen3',
  ...writeQwen(config),
  attention_bias: config.attentionBias,
})
