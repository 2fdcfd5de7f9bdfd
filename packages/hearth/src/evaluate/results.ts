// An evaluation as files in lm-evaluation-harness's shape, which its readers and leaderboards take.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { EvaluatedModel } from './models/evaluated-model.js'
import { tasksOf, type Evaluation } from './evaluate.js'
import type { PreparedTask } from './prepare.js'
import type { ChosenTasks } from './tasks/catalogue.js'

export interface RunFacts {
  model: EvaluatedModel
  prepared: readonly PreparedTask[]
  groups: ChosenTasks['groups']
  limit: number | undefined
  batchSize: number
  seed: number
  bootstrapIterations: number
  /** Milliseconds since 1970. */
  began: number
  seconds: number
}

const perTask = <T>(prepared: readonly PreparedTask[], value: (each: PreparedTask) => T): Record<string, T> =>
  Object.fromEntries(prepared.map((each) => [each.task.task, value(each)]))

/** The harness's results_….json. */
export function resultsJson({ results, groups }: Evaluation, facts: RunFacts): Record<string, unknown> {
  const { model, prepared, limit, batchSize, seed, bootstrapIterations, began, seconds } = facts
  return {
    results,
    ...(Object.keys(groups).length > 0 && { groups }),
    group_subtasks: Object.fromEntries([...facts.groups.values()].map(({ name, members }) => [name, members])),
    configs: perTask(prepared, ({ task, shots }) => ({ ...task.written, num_fewshot: shots })),
    versions: perTask(prepared, ({ task }) => task.metadata?.version ?? null),
    'n-shot': perTask(prepared, ({ shots }) => shots),
    higher_is_better: perTask(prepared, ({ task }) =>
      Object.fromEntries(task.metrics.map(({ name, higherIsBetter }) => [name, higherIsBetter])),
    ),
    'n-samples': perTask(prepared, ({ rows, questions }) => ({ original: rows, effective: questions.length })),
    config: {
      model: model.kind,
      model_args: model.name,
      batch_size: batchSize,
      limit: limit ?? null,
      bootstrap_iters: bootstrapIterations,
      fewshot_seed: seed,
    },
    date: began / 1000,
    model_source: model.kind,
    model_name: model.name,
    model_name_sanitized: sanitised(model.name),
    total_evaluation_time_seconds: String(seconds),
  }
}

const sanitised = (name: string): string => name.replace(/["<>:/|\\?*[\]]+/g, '__')

/**
 * Writes DIR/MODEL/results_TIME.json, and with samples a samples_TASK_TIME.jsonl for each task.
 * @returns the path of the results
 */
export function writeResults(folder: string, evaluation: Evaluation, facts: RunFacts, withSamples: boolean): string {
  const own = join(folder, sanitised(facts.model.name))
  const time = new Date(facts.began).toISOString().replace(/:/g, '-').replace('Z', '')
  mkdirSync(own, { recursive: true })
  const path = join(own, `results_${time}.json`)
  writeFileSync(path, `${JSON.stringify(resultsJson(evaluation, facts), undefined, 2)}\n`)
  if (withSamples)
    for (const [task, samples] of Object.entries(evaluation.samples))
      writeFileSync(
        join(own, `samples_${task}_${time}.jsonl`),
        samples.map((each) => `${JSON.stringify(each)}\n`).join(''),
      )
  return path
}

/** One line of a table: a metric of a task, with each model's score. */
export interface ScoreRow {
  task: string
  shots: number | undefined
  filter: string
  metric: string
  higherIsBetter: boolean
  scores: readonly { value: number; error: number | undefined }[]
}

/** Several evaluations of the same tasks side by side: tasks in their order, then groups. */
export function scoreRows(
  evaluations: readonly Evaluation[],
  prepared: readonly PreparedTask[],
  groups: ChosenTasks['groups'],
): ScoreRow[] {
  const row = (
    task: string,
    shots: number | undefined,
    filter: string,
    metric: string,
    higherIsBetter: boolean,
  ): ScoreRow => {
    const scores = evaluations.map(({ results }) => {
      const error = results[task]![`${metric}_stderr,${filter}`]
      return {
        value: results[task]![`${metric},${filter}`] as number,
        error: typeof error === 'number' ? error : undefined,
      }
    })
    return { task, shots, filter, metric, higherIsBetter, scores }
  }
  const own = prepared.flatMap(({ task, shots }) =>
    task.filters.flatMap(({ name: filter }) =>
      task.metrics.map(({ name, higherIsBetter }) => row(task.task, shots, filter, name, higherIsBetter)),
    ),
  )
  const ofGroup = (name: string, metric: string) => {
    const inside = new Set(tasksOf(groups.get(name)!, groups))
    const higher =
      prepared.find(({ task }) => inside.has(task.task))?.task.metrics.find((each) => each.name === metric)
        ?.higherIsBetter ?? true
    return row(name, undefined, 'none', metric, higher)
  }
  const grouped = [...groups.values()].flatMap(({ name, scores }) =>
    scores
      .filter(({ metric }) => evaluations[0]?.results[name]?.[`${metric},none`] !== undefined)
      .map(({ metric }) => ofGroup(name, metric)),
  )
  return [...own, ...grouped]
}
