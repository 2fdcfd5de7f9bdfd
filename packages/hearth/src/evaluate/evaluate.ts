// Asks a model all questions and scores what it says, in the form of lm-evaluation-harness's results.
import { ConfigError } from '@hearth/torch'
import type { EvaluatedModel } from './models/evaluated-model.js'
import type { PreparedTask, Question } from './prepare.js'
import { exactMatch } from './scoring/filters.js'
import { aggregate, choiceMetrics, groupError, groupScore, rollingMetrics, standardError } from './scoring/metrics.js'
import type { Item, Likelihood } from './scoring/metrics.js'
import type { ChosenTasks, TaskGroup } from './tasks/catalogue.js'

export interface EvaluateOptions {
  /** Draws of the bootstrap; 0 for no standard errors. @default 100000, as the harness */
  bootstrapIterations?: number
  onProgress?: (answered: number, of: number) => void
  signal?: AbortSignal | undefined
}

/** `acc,none` and `acc_stderr,none` beside the fields that every task has. */
export type TaskScores = Record<string, number | string> & { name: string; alias: string; sample_len: number }

/** What a model said to one question, as scored after one filter. */
export interface Sample {
  doc_id: number
  doc: Readonly<Record<string, unknown>>
  target: unknown
  arguments: unknown[]
  resps: unknown[]
  filtered_resps: unknown[]
  filter: string
  metrics: string[]
  [metric: string]: unknown
}

export interface Evaluation {
  results: Record<string, TaskScores>
  groups: Record<string, TaskScores>
  samples: Record<string, Sample[]>
}

/** How many answers a model is to give. */
export const countRequests = (prepared: readonly PreparedTask[]): number =>
  prepared
    .flatMap(({ questions }) => questions)
    .reduce((sum, { continuations, prompts }) => sum + (continuations.length || prompts.length || 1), 0)

/**
 * What a model cannot be asked, before it is asked anything.
 * @throws ConfigError naming every task that needs log probabilities of a chat endpoint
 */
export function checkAnswerable(models: readonly EvaluatedModel[], { tasks }: ChosenTasks): void {
  const needing = [...tasks.values()]
    .filter(({ output_type: type }) => type !== 'generate_until')
    .map(({ task }) => task)
  const issues = models
    .filter(({ kind }) => kind === 'local-chat-completions' && needing.length > 0)
    .map(({ name }) => ({
      path: name,
      message: `is a chat endpoint, which gives no log probabilities; ${needing.join(', ')} need them`,
    }))
  if (issues.length > 0)
    throw new ConfigError('models', issues, {
      remedy: 'ask it only what is generated (gsm8k), or give its …/v1, without /chat/completions',
    })
}

/**
 * @throws what the model throws
 * @example
 * const { results } = await evaluate(new LocalModel({ name, model, tokenizer }), prepared, chosen)
 * results.arc_easy['acc,none']
 */
export async function evaluate(
  model: EvaluatedModel,
  prepared: readonly PreparedTask[],
  { groups }: Pick<ChosenTasks, 'groups'>,
  { bootstrapIterations = 100_000, onProgress, signal }: EvaluateOptions = {},
): Promise<Evaluation> {
  const of = countRequests(prepared)
  let answered = 0
  const onAnswer = () => onProgress?.(++answered, of)
  const evaluation: Evaluation = { results: {}, groups: {}, samples: {} }
  for (const each of prepared) {
    const samples = await ask(model, each, { onAnswer, signal })
    evaluation.samples[each.task.task] = samples
    evaluation.results[each.task.task] = await scores(each, samples, bootstrapIterations)
  }
  for (const group of groups.values()) {
    const score = groupScores(group, groups, evaluation.results)
    evaluation.results[group.name] = score
    if (group.scores.length > 0) evaluation.groups[group.name] = score
  }
  return evaluation
}

type Ask = { onAnswer: () => void; signal: AbortSignal | undefined }

async function ask(model: EvaluatedModel, prepared: PreparedTask, options: Ask): Promise<Sample[]> {
  const { task, questions } = prepared
  if (task.output_type === 'loglikelihood_rolling') {
    const logprobs = await model.texts(
      questions.map(({ text }) => text),
      options,
    )
    return questions.map((question, id) => rollingSample(prepared, question, id, logprobs[id]!))
  }
  if (task.output_type === 'generate_until') {
    const answers = await model.generate(
      questions.flatMap(({ prompts }) => prompts),
      options,
    )
    return questions.flatMap((question, id) =>
      textSamples(prepared, question, id, answers.slice(id * task.repeats, (id + 1) * task.repeats)),
    )
  }
  const said = await model.continuations(
    questions.flatMap(({ continuations }) => continuations),
    options,
  )
  let start = 0
  return questions.map((question, id) =>
    likelihoodSample(prepared, question, id, said.slice(start, (start += question.continuations.length))),
  )
}

const pairs = (said: readonly Likelihood[]) => said.map(({ logprob, greedy }) => [logprob, greedy])

function likelihoodSample(
  { task }: PreparedTask,
  { row, reading, continuations }: Question,
  id: number,
  said: Likelihood[],
): Sample {
  const [first] = said
  const gold = goldOf(reading)
  const all: Record<string, number> =
    task.output_type === 'loglikelihood'
      ? { perplexity: first!.logprob, acc: Number(first!.greedy) }
      : choiceMetrics(said, reading.choices!, gold)
  const target = task.output_type === 'loglikelihood' ? reading.target : gold.length === 1 ? gold[0] : gold
  const given = continuations.map(({ context, continuation }) => [context, continuation])
  return sample(
    task,
    { id, row, target, given, said: pairs(said), kept: pairs(said), filter: task.filters[0]!.name },
    all,
  )
}

/** Places of the right choices; what is none of them is left out, and nothing is then right. */
function goldOf({ text, target, choices = [] }: Question['reading']): number[] {
  const right = typeof text === 'number' ? [text] : Array.isArray(target) ? (target as unknown[]) : [target]
  return right
    .map((one) => (typeof one === 'string' ? choices.indexOf(one) : Number(one)))
    .filter((place) => place >= 0 && place < choices.length)
}

function rollingSample(
  { task, questionsOf }: PreparedTask,
  { row, text }: Question,
  id: number,
  logprob: number,
): Sample {
  const all = Object.fromEntries(
    task.metrics.map(({ name, countedText }) => [
      name,
      rollingMetrics(logprob, countedText === undefined ? text : questionsOf.resolve(row, countedText, 'counted_text'))[
        name
      ],
    ]),
  ) as Record<string, Item>
  return sample(
    task,
    { id, row, target: text, given: [[text]], said: [logprob], kept: [logprob], filter: task.filters[0]!.name },
    all,
  )
}

function textSamples(
  { task }: PreparedTask,
  { row, reading, prompts }: Question,
  id: number,
  answers: string[],
): Sample[] {
  const { target, choices } = reading
  const right = (
    Array.isArray(target) ? (target as unknown[]) : [choices === undefined ? target : choices[Number(target)]]
  ).map(String)
  const given = prompts.map(({ context, ...settings }) => [context, settings])
  return task.filters.map(({ name: filter, filters }) => {
    const kept = filters.reduce<unknown[]>((left, apply) => apply(left), answers)
    const all = Object.fromEntries(task.metrics.map((metric) => [metric.name, exactMatch(metric)(kept[0], right)]))
    return sample(task, { id, row, target, given, said: answers, kept, filter }, all)
  })
}

interface Said {
  id: number
  row: Question['row']
  target: unknown
  given: unknown[]
  said: unknown[]
  kept: unknown[]
  filter: string
}

function sample(
  { metrics }: PreparedTask['task'],
  { id, row, target, given, said, kept, filter }: Said,
  all: Record<string, Item>,
): Sample {
  const names = metrics.map(({ name }) => name)
  const scored = Object.fromEntries(names.map((name) => [name, all[name]]))
  return {
    doc_id: id,
    doc: row,
    target,
    arguments: given,
    resps: said,
    filtered_resps: kept,
    filter,
    metrics: names,
    ...scored,
  }
}

async function scores(
  { task, questions }: PreparedTask,
  samples: readonly Sample[],
  iterations: number,
): Promise<TaskScores> {
  const score: TaskScores = { name: task.task, alias: task.task_alias ?? task.task, sample_len: questions.length }
  for (const { name: filter } of task.filters)
    for (const { name, aggregation } of task.metrics) {
      const items = samples.filter((each) => each.filter === filter).map((each) => each[name] as Item)
      score[`${name},${filter}`] = aggregate(aggregation, items)
      score[`${name}_stderr,${filter}`] = (await standardError(aggregation, items, iterations)) ?? 'N/A'
    }
  return score
}

function groupScores(
  group: TaskGroup,
  groups: ReadonlyMap<string, TaskGroup>,
  results: Record<string, TaskScores>,
): TaskScores {
  const leaves = tasksOf(group, groups).map((name) => results[name]!)
  const score: TaskScores = {
    name: group.name,
    alias: group.alias,
    sample_len: leaves.reduce((sum, { sample_len: size }) => sum + size, 0),
  }
  for (const { metric, bySize } of group.scores) {
    const having = leaves.filter((leaf) => typeof leaf[`${metric},none`] === 'number')
    if (having.length === 0) continue
    const sizes = having.map(({ sample_len: size }) => size)
    const errors = having.map((leaf) => leaf[`${metric}_stderr,none`])
    score[`${metric},none`] = groupScore(
      having.map((leaf) => leaf[`${metric},none`] as number),
      sizes,
      bySize,
    )
    score[`${metric}_stderr,none`] = errors.includes('N/A') ? 'N/A' : groupError(errors as number[], sizes)
  }
  return score
}

/** Of a group and the groups in it. */
export function tasksOf({ members }: TaskGroup, groups: ReadonlyMap<string, TaskGroup>): string[] {
  return members.flatMap((name) => (groups.has(name) ? tasksOf(groups.get(name)!, groups) : [name]))
}
