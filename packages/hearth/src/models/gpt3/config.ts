// GPT-3's configuration: GPT-2's keys, and GPT-Neo's for which layers see a band. OpenAI published no files, so that
// `gpt3` is a name of ours: programs that do not know it refuse such a folder rather than run all its layers dense.
import { readAlternating, writeAlternating } from '../alternating-attention.js'
import { ConfigReader } from '../config-reader.js'
import { readGpt2, toConfig as toGpt2Config, type Gpt2Config } from '../gpt2/config.js'

/** Reads config.json; see Family.parseConfig. */
export function parseConfig(json: unknown, where = 'gpt3 configuration'): Gpt2Config {
  const reader = new ConfigReader(json, where)
  const shared = readGpt2(reader)
  const config = { ...shared, windows: readAlternating(reader, shared.layers) }
  reader.finish()
  return config
}

export const toConfig = (config: Gpt2Config): Record<string, unknown> => ({
  ...toGpt2Config(config),
  architectures: ['GPT3LMHeadModel'],
  model_type: 'gpt3',
  ...writeAlternating(config.windows),
})
