// The settings of generation: their meaning, their defaults, and everything that is wrong with them at once.
import { randomInt } from 'node:crypto'
import { ConfigError, type ConfigIssue } from '@hearth/torch'
import type { SamplingRule } from './samplers.js'

/** How tokens are chosen and when to stop. */
export interface GenerationSettings {
  /** Most tokens to generate. @default 256 */
  maxTokens?: number
  /** 0 always takes the most likely token; below 1 is safer, above 1 wilder. @default 1 */
  temperature?: number
  /** Only the k most likely tokens; 0 for all. @default 0 */
  topK?: number
  /** Only the most likely tokens that add up to this probability; 1 for all. @default 1 */
  topP?: number
  /** Only tokens at least this share as likely as the most likely one; 0 for all. @default 0 */
  minP?: number
  /** Above 1, tokens that already occurred (in the prompt too) become less likely. @default 1 */
  repetitionPenalty?: number
  /** Taken off a token's logit for each time it was generated (not in the prompt). @default 0 */
  frequencyPenalty?: number
  /** Taken off a token's logit once it was generated. @default 0 */
  presencePenalty?: number
  /** Added to the logits of tokens, by id. @default none */
  logitBias?: Readonly<Record<number, number>>
  /** The same seed gives the same text. @default a new one each time */
  seed?: number
  /** Tokens that end the text, none with []. @default those of the model's configuration */
  eosId?: number | readonly number[]
}

/** Settings with every default filled in. */
export interface ResolvedSettings extends SamplingRule {
  maxTokens: number
  seed: number
  /** undefined: as the model's configuration says. */
  eosIds: readonly number[] | undefined
}

/** @throws ConfigError listing every setting that is out of range */
export function resolveSettings(settings: GenerationSettings): ResolvedSettings {
  const issues = generationIssues(settings)
  if (issues.length > 0) throw new ConfigError('generation', issues)
  const { maxTokens = 256, temperature = 1, topK = 0, topP = 1, minP = 0, eosId } = settings
  const { repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0 } = settings
  const logitBias = new Map(Object.entries(settings.logitBias ?? {}).map(([id, bias]) => [Number(id), bias]))
  const seed = settings.seed ?? randomInt(2 ** 48 - 1)
  const eosIds = typeof eosId === 'number' ? [eosId] : eosId
  const penalties = { repetitionPenalty, frequencyPenalty, presencePenalty, logitBias }
  return { maxTokens, temperature, topK, topP, minP, ...penalties, seed, eosIds }
}

type Range = readonly [expected: string, holds: (value: number) => boolean]

const count = (from: number): Range => [`an integer from ${from}`, (x) => Number.isSafeInteger(x) && x >= from]

const RANGES: Record<Exclude<keyof GenerationSettings, 'eosId' | 'logitBias'>, Range> = {
  maxTokens: count(1),
  temperature: ['a number from 0', (x) => x >= 0],
  topK: count(0),
  topP: ['a number above 0, to 1', (x) => x > 0 && x <= 1],
  minP: ['a number from 0 to 1', (x) => x >= 0 && x <= 1],
  repetitionPenalty: ['a number above 0', (x) => x > 0],
  frequencyPenalty: ['a number', () => true],
  presencePenalty: ['a number', () => true],
  seed: ['an integer from 0 to 2^53 - 1', count(0)[1]],
}

/** What is wrong with the settings, for callers that report everything at once. */
export function generationIssues(settings: GenerationSettings & { stop?: readonly string[] }): ConfigIssue[] {
  const issues: ConfigIssue[] = []
  const check = (path: string, value: unknown, [expected, holds]: Range) => {
    if (typeof value !== 'number' || !Number.isFinite(value) || !holds(value))
      issues.push({ path, message: `must be ${expected}, got ${String(value)}` })
  }
  for (const [name, range] of Object.entries(RANGES)) {
    const value = settings[name as keyof typeof RANGES]
    if (value !== undefined) check(name, value, range)
  }
  const { eosId = [], stop = [] } = settings
  if (typeof eosId === 'number') check('eosId', eosId, count(0))
  else eosId.forEach((id, i) => check(`eosId.${i}`, id, count(0)))
  for (const [id, bias] of Object.entries(settings.logitBias ?? {})) {
    check(`logitBias.${id}`, Number(id), count(0))
    check(`logitBias.${id}`, bias, ['a number', () => true])
  }
  stop.forEach((text, i) => {
    if (typeof text !== 'string' || text === '')
      issues.push({
        path: `stop.${i}`,
        message: `must be a string of at least one character, got ${JSON.stringify(text)}`,
      })
  })
  return issues
}
