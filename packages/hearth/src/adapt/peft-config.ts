// adapter_config.json as PEFT writes it: read with every field that changes what an adapter computes, and refused where it
// asks for what is not done here. Fields that nobody knows are ignored, as files of other versions have them.
import { FormatError } from '@hearth/torch'
import { z } from 'zod'
import { defaultTargets, type LinearModule, type Targets } from './targets.js'
import type { LoraSettings } from './lora.js'

const numbers = z.record(z.string(), z.number()).nullish()

const PeftConfig = z.object({
  peft_type: z.string(),
  base_model_name_or_path: z.string().nullish(),
  r: z.int().min(1).default(8),
  lora_alpha: z.number().positive().default(8),
  lora_dropout: z.number().min(0).lt(1).default(0),
  target_modules: z.union([z.string(), z.array(z.string())]).nullish(),
  exclude_modules: z.union([z.string(), z.array(z.string())]).nullish(),
  use_rslora: z.boolean().default(false),
  use_dora: z.boolean().default(false),
  rank_pattern: numbers,
  alpha_pattern: numbers,
  bias: z.string().default('none'),
  lora_bias: z.boolean().nullish(),
  modules_to_save: z.array(z.string()).nullish(),
  layer_replication: z.unknown().optional(),
  trainable_token_indices: z.unknown().optional(),
  target_parameters: z.unknown().optional(),
  use_qalora: z.boolean().nullish(),
})

export interface PeftDescription {
  settings: LoraSettings
  base: string | undefined
}

/**
 * Settings from the contents of adapter_config.json.
 * @param problems is added to what is malformed, or asks for what Hearth does not do
 */
export function readPeftConfig(json: unknown, problems: string[]): PeftDescription | undefined {
  const parsed = PeftConfig.safeParse(json)
  if (!parsed.success) {
    for (const { path, message } of parsed.error.issues)
      problems.push(`adapter_config.json: ${path.join('.') || '(whole)'}: ${message}`)
    return undefined
  }
  const config = parsed.data
  problems.push(...unsupported(config).map((text) => `adapter_config.json: ${text}`))
  return {
    base: config.base_model_name_or_path ?? undefined,
    settings: {
      rank: config.r,
      alpha: config.lora_alpha,
      dropout: config.lora_dropout,
      rsLora: config.use_rslora,
      dora: config.use_dora,
      ...(config.target_modules ? { targets: config.target_modules } : {}),
      ...(config.exclude_modules ? { exclude: config.exclude_modules } : {}),
      rankPattern: config.rank_pattern ?? {},
      alphaPattern: config.alpha_pattern ?? {},
    },
  }
}

function unsupported(config: z.output<typeof PeftConfig>): string[] {
  const found: string[] = []
  const refuse = (holds: unknown, field: string, expected: string) => {
    if (holds) found.push(`${field}: Hearth reads adapters with ${expected} only`)
  }
  refuse(config.peft_type !== 'LORA', 'peft_type', 'LORA')
  refuse(config.bias !== 'none', 'bias', 'none')
  refuse(config.lora_bias, 'lora_bias', 'false')
  refuse(config.use_qalora, 'use_qalora', 'false')
  refuse(config.modules_to_save?.length, 'modules_to_save', 'none')
  const isSet = (value: unknown) => value !== undefined && value !== null
  refuse(isSet(config.layer_replication), 'layer_replication', 'none')
  refuse(isSet(config.trainable_token_indices), 'trainable_token_indices', 'none')
  refuse(
    Array.isArray(config.target_parameters) ? config.target_parameters.length : isSet(config.target_parameters),
    'target_parameters',
    'none',
  )
  return found
}

export interface PeftConfigParts {
  settings: LoraSettings
  family: string
  /** The layers that have an adapter, and all there are. */
  modules: readonly LinearModule[]
  all: readonly LinearModule[]
  base?: string
}

/** The contents of adapter_config.json, with the keys that PEFT writes. */
export function toPeftConfig({ settings, family, modules, all, base }: PeftConfigParts): Record<string, unknown> {
  const { rank = 8, alpha = 2 * rank, dropout = 0, rsLora = false, dora = false } = settings
  return {
    alpha_pattern: settings.alphaPattern ?? {},
    auto_mapping: null,
    base_model_name_or_path: base ?? null,
    bias: 'none',
    exclude_modules: null,
    fan_in_fan_out: modules.some(({ transposed }) => transposed),
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_alpha: alpha,
    lora_bias: false,
    lora_dropout: dropout,
    megatron_config: null,
    megatron_core: 'megatron.core',
    modules_to_save: null,
    peft_type: 'LORA',
    r: rank,
    rank_pattern: settings.rankPattern ?? {},
    revision: null,
    target_modules: targetNames(modules, all, settings.targets ?? defaultTargets(family)),
    task_type: 'CAUSAL_LM',
    use_dora: dora,
    use_rslora: rsLora,
  }
}

/** The shortest names that mean exactly these layers to PEFT: the ends of their names, or the whole names. */
function targetNames(modules: readonly LinearModule[], all: readonly LinearModule[], targets: Targets): string[] {
  const endOf = ({ module }: LinearModule) => module.slice(module.lastIndexOf('.') + 1)
  const ends = new Set(modules.map(endOf))
  const meant = all.filter((module) => ends.has(endOf(module)))
  if (meant.length === modules.length) return [...ends].sort()
  if (modules.length === 0) throw new FormatError(`an adapter for ${JSON.stringify(targets)} has no layers`)
  return modules.map(({ module }) => module)
}
