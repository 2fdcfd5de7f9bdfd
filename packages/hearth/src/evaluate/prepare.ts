// From tasks to all that models are asked: rows read, examples drawn, requests written. Every model is asked the same.
import { ConfigError } from '@hearth/torch'
import type { HubOptions } from '../formats/index.js'
import type { ContinuationRequest, TextRequest } from './models/evaluated-model.js'
import { Questions, type Reading, type Row } from './tasks/questions.js'
import type { ChosenTasks } from './tasks/catalogue.js'
import type { TaskDefinition } from './tasks/task-definition.js'
import { readSplit } from './tasks/task-data.js'

export interface PrepareOptions {
  /** Rows of each task, from the first; below 1 a share of them. @default all */
  limit?: number | undefined
  /** Examples before each question, where the task does not insist on none. @default what the task says */
  numFewshot?: number | undefined
  /** Of the draw of examples. @default 1234, as the harness */
  seed?: number | undefined
  hub?: HubOptions
}

/** A row and what is asked about it. */
export interface Question {
  row: Row
  reading: Reading
  /** Of loglikelihood and multiple_choice; with acc_mutual_info the choices alone follow. */
  continuations: ContinuationRequest[]
  /** Of loglikelihood_rolling: the text; and the one whose words and bytes count. */
  text: string
  /** Of generate_until: one for each repeat. */
  prompts: TextRequest[]
}

export interface PreparedTask {
  task: TaskDefinition
  shots: number
  /** Rows that there are. */
  rows: number
  questions: Question[]
  questionsOf: Questions
}

/** Tokens that are generated where the task does not say. */
const MAX_TOKENS = 256

/**
 * @throws DataError for rows that are missing or do not fit their task; what the hub throws
 * @example
 * const prepared = await prepareTasks(chooseTasks(['arc_easy']), { limit: 100 })
 */
export async function prepareTasks({ tasks }: ChosenTasks, options: PrepareOptions = {}): Promise<PreparedTask[]> {
  const prepared: PreparedTask[] = []
  for (const task of tasks.values()) prepared.push(await prepareTask(task, options))
  return prepared
}

async function prepareTask(task: TaskDefinition, options: PrepareOptions): Promise<PreparedTask> {
  const { limit, numFewshot, seed = 1234, hub = {} } = options
  const own = task.num_fewshot ?? undefined
  const shots = own === 0 ? 0 : (numFewshot ?? own ?? 0)
  const split = task.test_split ?? task.validation_split ?? ''
  const rows = await readSplit(task, split, hub)
  const count = limit === undefined ? rows.length : limit < 1 ? Math.ceil(rows.length * limit) : Math.floor(limit)
  const examples = shots === 0 ? [] : await examplesOf(task, split, rows, hub)
  const questionsOf = new Questions(task, rows, examples, seed)
  const questions = rows.slice(0, count).map((row) => question(task, row, shots, questionsOf))
  return { task, shots, rows: rows.length, questions, questionsOf }
}

async function examplesOf(
  task: TaskDefinition,
  asked: string,
  rows: readonly Row[],
  hub: HubOptions,
): Promise<readonly Row[]> {
  const { split, samples } = task.fewshot_config ?? {}
  const named = split ?? task.fewshot_split ?? undefined
  if (named === undefined && samples !== undefined) return samples
  const from = named ?? task.training_split ?? task.validation_split ?? asked
  return from === asked ? rows : await readSplit(task, from, hub)
}

function question(task: TaskDefinition, row: Row, shots: number, questions: Questions): Question {
  const reading = questions.read(row)
  const type = task.output_type
  const made: Question = { row, reading, continuations: [], text: '', prompts: [] }
  if (type === 'loglikelihood_rolling') return { ...made, text: String(reading.target) }
  const context = questions.context(row, shots)
  if (type === 'multiple_choice') return { ...made, continuations: choicesOf(task, reading, context) }
  if (typeof context !== 'string')
    throw new ConfigError(task.file, [{ path: 'doc_to_text', message: `gives a number, which ${type} has no use for` }])
  if (type === 'loglikelihood') return { ...made, continuations: [{ context, continuation: String(reading.target) }] }
  return { ...made, prompts: Array.from({ length: task.repeats }, () => promptOf(task, context)) }
}

function choicesOf(
  task: TaskDefinition,
  { choices, target }: Reading,
  context: string | string[],
): ContinuationRequest[] {
  const between = task.target_delimiter
  const asked =
    typeof context === 'string'
      ? choices!.map((choice) => ({ context, continuation: between + choice }))
      : context.map((each) => ({ context: each, continuation: between + String(target) }))
  if (!task.metrics.some(({ name }) => name === 'acc_mutual_info')) return asked
  return [...asked, ...choices!.map((choice) => ({ context: '', continuation: between + choice }))]
}

function promptOf({ generation_kwargs: given, fewshot_delimiter: end }: TaskDefinition, context: string): TextRequest {
  const { until = [end], max_gen_toks, max_new_tokens, max_tokens, temperature = 0, do_sample: sampled } = given ?? {}
  return {
    context,
    until: [until].flat(),
    maxTokens: max_gen_toks ?? max_new_tokens ?? max_tokens ?? MAX_TOKENS,
    temperature: sampled === true ? temperature : 0,
  }
}
