// What a task is: the fields of lm-evaluation-harness's task files that mean something here, checked all at once.
import { closest } from 'fastest-levenshtein'
import { ConfigError, type ConfigIssue } from '@hearth/torch'
import { z } from 'zod'
import { FILTERS, type ExactMatchOptions, type Filter } from '../scoring/filters.js'
import { DEFAULT_AGGREGATION, DEFAULT_METRICS, isWeighted, LOWER_IS_BETTER, METRICS } from '../scoring/metrics.js'
import type { Aggregation, OutputType } from '../scoring/metrics.js'
import { pythonPattern } from '../scoring/patterns.js'
import type { RawTask } from './task-file.js'

const text = z.string()
const field = z.union([z.string(), z.int()])
const choice = z.union([z.string(), z.array(z.string()), z.record(z.string(), z.string())])
const aggregations = ['mean', 'median', 'perplexity', 'weighted_perplexity', 'bits_per_byte'] as const
const outputTypes = Object.keys(METRICS) as [OutputType, ...OutputType[]]

const metricSchema = z.strictObject({
  metric: text,
  aggregation: z.enum(aggregations).optional(),
  higher_is_better: z.boolean().optional(),
  // Of no consequence: Hugging Face's exact_match compares as the harness's own, and weights belong to groups.
  hf_evaluate: z.boolean().optional(),
  weight_by_size: z.boolean().optional(),
  ignore_case: z.boolean().optional(),
  ignore_punctuation: z.boolean().optional(),
  ignore_numbers: z.boolean().optional(),
  regexes_to_ignore: z.array(text).optional(),
  /** Ours: the text whose words and bytes are counted, where it is not the one that is scored. */
  counted_text: text.optional(),
})

const fewshotSchema = z.strictObject({
  sampler: z.enum(['default', 'first_n']).optional(),
  split: text.nullish(),
  samples: z.array(z.record(z.string(), z.unknown())).optional(),
  doc_to_text: text.optional(),
  doc_to_choice: choice.optional(),
  doc_to_target: field.optional(),
  gen_prefix: text.optional(),
  fewshot_delimiter: text.optional(),
  target_delimiter: text.optional(),
})

const generationSchema = z.looseObject({
  until: z.union([text, z.array(text)]).optional(),
  max_gen_toks: z.int().min(1).optional(),
  max_new_tokens: z.int().min(1).optional(),
  max_tokens: z.int().min(1).optional(),
  temperature: z.number().min(0).optional(),
  do_sample: z.boolean().optional(),
})

const taskSchema = z.strictObject({
  task: text,
  task_alias: text.optional(),
  tag: z.union([text, z.array(text)]).optional(),
  dataset_path: text,
  dataset_name: text.nullish(),
  dataset_kwargs: z.looseObject({ data_files: z.unknown().optional() }).nullish(),
  training_split: text.nullish(),
  validation_split: text.nullish(),
  test_split: text.nullish(),
  fewshot_split: text.nullish(),
  doc_to_text: field,
  doc_to_target: z.union([field, z.array(z.unknown())]),
  doc_to_choice: choice.nullish(),
  description: text.default(''),
  target_delimiter: text.default(' '),
  fewshot_delimiter: text.default('\n\n'),
  fewshot_config: fewshotSchema.nullish(),
  num_fewshot: z.int().min(0).nullish(),
  output_type: z.enum(outputTypes).default('generate_until'),
  metric_list: z.array(metricSchema).min(1).optional(),
  generation_kwargs: generationSchema.nullish(),
  repeats: z.int().min(1).default(1),
  filter_list: z.array(z.strictObject({ name: text, filter: z.array(z.looseObject({ function: text })) })).nullish(),
  should_decontaminate: z.boolean().optional(),
  doc_to_decontamination_query: text.optional(),
  gen_prefix: text.nullish(),
  metadata: z.record(z.string(), z.unknown()).nullish(),
})
type TaskFields = z.infer<typeof taskSchema>

export interface MetricUse extends ExactMatchOptions {
  name: string
  aggregation: Aggregation
  higherIsBetter: boolean
  countedText: string | undefined
}

export interface TaskDefinition extends Omit<TaskFields, 'metric_list' | 'filter_list'> {
  /** Where it is written; paths of data start there. */
  file: string
  metrics: readonly MetricUse[]
  /** Of generated text; each is scored on its own. */
  filters: readonly { name: string; filters: readonly Filter[] }[]
  /** The fields as they are written, for the results. */
  written: Readonly<Record<string, unknown>>
}

/**
 * @throws ConfigError with everything that is wrong with the task
 * @example
 * const task = defineTask(readTaskFile('arc_easy.yaml'))
 */
export function defineTask({ file, fields }: RawTask): TaskDefinition {
  const read = taskSchema.safeParse(fields)
  const issues: ConfigIssue[] = read.success ? [] : read.error.issues.flatMap(inWords)
  if (!read.success) throw new ConfigError(file, issues)
  const { metric_list: metrics, filter_list: filters, ...rest } = read.data
  const say = (path: string, message: string) => issues.push({ path, message })
  const used = metricsOf(metrics, rest.output_type, say)
  const chains = filtersOf(filters ?? [], rest.output_type, say)
  if ((rest.test_split ?? rest.validation_split ?? undefined) === undefined)
    say('test_split', 'is missing, and so is validation_split: one of them has the questions')
  if (rest.output_type === 'multiple_choice' && (rest.doc_to_choice ?? undefined) === undefined)
    say('doc_to_choice', 'is missing, which multiple_choice needs')
  if (issues.length > 0) throw new ConfigError(file, issues)
  return { ...rest, file, metrics: used, filters: chains, written: fields }
}

function inWords(issue: z.core.$ZodIssue): ConfigIssue[] {
  const path = issue.path.join('.')
  if (issue.code !== 'unrecognized_keys') return [{ path: path || '(the file)', message: issue.message }]
  const known = Object.keys(
    path === '' ? taskSchema.shape : path === 'fewshot_config' ? fewshotSchema.shape : metricSchema.shape,
  )
  return issue.keys.map((key) => ({
    path: path === '' ? key : `${path}.${key}`,
    message: `is no field that is known here; the nearest is ${closest(key, known)}`,
  }))
}

type Say = (path: string, message: string) => void

function metricsOf(list: TaskFields['metric_list'], type: OutputType, say: Say): MetricUse[] {
  const known: readonly string[] = METRICS[type]
  const entries: z.infer<typeof metricSchema>[] = list ?? DEFAULT_METRICS[type].map((metric) => ({ metric }))
  return entries.map((entry, i) => {
    const { metric: name, aggregation: named, higher_is_better: higher, counted_text: countedText, ...options } = entry
    const usual = DEFAULT_AGGREGATION[name] ?? 'mean'
    const aggregation = named ?? usual
    if (!known.includes(name)) say(`metric_list.${i}.metric`, `is ${name}; ${type} has ${known.join(', ')} here`)
    else if (isWeighted(aggregation) !== isWeighted(usual))
      say(`metric_list.${i}.aggregation`, `is ${aggregation}, which is not for ${name}`)
    for (const [n, source] of (options.regexes_to_ignore ?? []).entries())
      checkPattern(source, `metric_list.${i}.regexes_to_ignore.${n}`, say)
    return { ...options, name, aggregation, higherIsBetter: higher ?? !LOWER_IS_BETTER.has(name), countedText }
  })
}

function filtersOf(
  list: NonNullable<TaskFields['filter_list']>,
  type: OutputType,
  say: Say,
): TaskDefinition['filters'] {
  const first = FILTERS.take_first!.make({})
  if (list.length === 0) return [{ name: 'none', filters: [first] }]
  return list.map(({ name, filter }, i) => {
    const made = filter.map(({ function: kind, ...fields }, n) => {
      const path = `filter_list.${i}.filter.${n}`
      const known = FILTERS[kind]
      if (known === undefined) say(path, `is ${kind}; known are ${Object.keys(FILTERS).join(', ')}`)
      else if (kind !== 'take_first' && type !== 'generate_until') say(path, `${kind} is for generate_until alone`)
      for (const key of Object.keys(fields))
        if (known && !known.takes.includes(key)) say(`${path}.${key}`, `is no field of ${kind}`)
      const isSound = typeof fields.regex_pattern !== 'string' || checkPattern(fields.regex_pattern, path, say)
      return known && isSound ? known.make(fields) : first
    })
    return { name, filters: [...made, first] }
  })
}

function checkPattern(source: string, path: string, say: Say): boolean {
  try {
    pythonPattern(source)
    return true
  } catch (error) {
    say(path, (error as Error).message)
    return false
  }
}
