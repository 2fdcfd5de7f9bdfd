// Mixtral's configuration: Mistral's keys and those of its experts.
import { ConfigReader } from '../config-reader.js'
import { readWindows, windowOf } from '../layer-windows.js'
import { readLlama, writeLlama, type LlamaConfig } from '../llama/config.js'

export interface MixtralConfig extends LlamaConfig {
  experts: number
  /** Experts that a token visits. */
  expertsPerToken: number
  /** Weight of the loss that keeps the experts equally busy; 0 for none. */
  balanceWeight: number
}

/** Reads config.json; see Family.parseConfig. */
export function parseConfig(json: unknown, where = 'mixtral configuration'): MixtralConfig {
  const reader = new ConfigReader(json, where)
  const shared = readLlama(reader, {
    vocabularySize: 32_000,
    begin: 1,
    end: 2,
    feedForward: 14_336,
    keyValueHeads: 8,
    contextLength: 131_072,
    normEpsilon: 1e-5,
    theta: 1e6,
  })
  const experts = reader.integer('num_local_experts', 8)
  const weight = 'router_aux_loss_coef'
  reader.only('router_jitter_noise', 0)
  const config = {
    ...shared,
    windows: readWindows(reader, shared.layers, reader.optional('sliding_window', undefined), 0),
    experts,
    expertsPerToken: reader.integer('num_experts_per_tok', 2, { max: experts || 1 }),
    balanceWeight: reader.has(weight) && reader.value(weight) === 0 ? 0 : reader.positive(weight, 0.001),
  }
  reader.finish()
  return config
}

export function toConfig(config: MixtralConfig): Record<string, unknown> {
  return {
    architectures: ['MixtralForCausalLM'],
    model_type: 'mixtral',
    ...writeLlama(config),
    sliding_window: windowOf(config.windows),
    num_local_experts: config.experts,
    num_experts_per_tok: config.expertsPerToken,
    router_aux_loss_coef: config.balanceWeight,
    router_jitter_noise: 0,
    output_router_logits: false,
  }
}
