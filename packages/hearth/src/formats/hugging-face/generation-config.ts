// generation_config.json: how the makers of a model mean text to be generated with it. Keys that are not about choosing
// tokens (beams, caches, assistants) are passed over.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { GenerationDefaults } from '../../models/index.js'

export const GENERATION_FILE = 'generation_config.json'

const token = z.int().min(0)

const Keys = z.object({
  do_sample: z.boolean().nullish(),
  temperature: z.number().min(0).nullish(),
  top_k: z.int().min(0).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().gt(0).nullish(),
  max_new_tokens: z.int().min(1).nullish(),
  eos_token_id: z.union([token, z.array(token)]).nullish(),
})

/**
 * The settings of a folder; undefined where it has none.
 * @param problems is added to what cannot be used
 */
export function readGenerationConfig(folder: string, problems: string[]): GenerationDefaults | undefined {
  const path = join(folder, GENERATION_FILE)
  if (!existsSync(path)) return undefined
  let json: unknown
  try {
    json = JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    problems.push(`${GENERATION_FILE} cannot be read: ${(cause as Error).message}`)
    return undefined
  }
  const parsed = Keys.safeParse(json)
  if (parsed.success) return defaultsOf(parsed.data)
  for (const issue of parsed.error.issues)
    problems.push(`${GENERATION_FILE}: ${issue.path.join('.') || '(root)'}: ${issue.message}`)
  return undefined
}

function defaultsOf(keys: z.infer<typeof Keys>): GenerationDefaults {
  const { eos_token_id: end } = keys
  const given: Record<string, unknown> = {
    // transformers takes the likeliest token where sampling is switched off, whatever the temperature.
    temperature: keys.do_sample === false ? 0 : keys.temperature,
    topK: keys.top_k,
    topP: keys.top_p,
    minP: keys.min_p,
    repetitionPenalty: keys.repetition_penalty,
    maxTokens: keys.max_new_tokens,
    endTokens: end === undefined || end === null ? undefined : [end].flat(),
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined && value !== null))
}

/**
 * The contents of generation_config.json.
 * @param configJson the model's config.json, for the tokens that begin and end a text
 */
export function generationConfig(
  { temperature, topK, topP, minP, repetitionPenalty, maxTokens, endTokens }: GenerationDefaults,
  { bos_token_id, eos_token_id }: Record<string, unknown>,
): Record<string, unknown> {
  const sampling = temperature ?? topK ?? topP ?? minP
  const ends = endTokens?.length === 1 ? endTokens[0] : endTokens
  const keys = {
    bos_token_id,
    eos_token_id: ends ?? eos_token_id,
    do_sample: temperature === 0 ? false : sampling === undefined ? undefined : true,
    temperature: temperature === 0 ? undefined : temperature,
    top_k: topK,
    top_p: topP,
    min_p: minP,
    repetition_penalty: repetitionPenalty,
    max_new_tokens: maxTokens,
  }
  return Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== undefined))
}
