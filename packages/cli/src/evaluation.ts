// What `hearth evaluate` does: opens everything that is named before anything is asked, asks the models one after the
// other, and shows their scores side by side.
import {
  checkAnswerable,
  chooseTasks,
  EndpointModel,
  evaluate,
  LocalModel,
  prepareTasks,
  resultsJson,
  scoreRows,
  writeResults,
} from 'hearth/evaluate'
import type { ChosenTasks, EvaluatedModel, Evaluation, PreparedTask, ScoreRow } from 'hearth/evaluate'
import { formatBytes, formatDuration } from './format.js'
import { openTextModel, openTokenizer } from './model-source.js'
import { StatusLine } from './status-line.js'
import { table } from './table.js'
import type { Terminal } from './terminal.js'

export interface EvaluationLine {
  limit: number | undefined
  numFewshot: number | undefined
  batchSize: number
  output: string | undefined
  logSamples: boolean
  seed: number
  bootstrap: number
  tokenizer: string | undefined
  contextLength: number
  quantize: string | undefined
  json: boolean
}

/** @throws what is wrong with the tasks, the models or the data, before a model is asked */
export async function evaluateModels(
  words: readonly string[],
  names: readonly string[],
  line: EvaluationLine,
  terminal: Terminal,
): Promise<void> {
  const chosen = chooseTasks(names)
  const models: EvaluatedModel[] = []
  for (const word of words) models.push(await openEvaluated(word, line, terminal))
  checkAnswerable(models, chosen)
  const status = terminal.interactive ? new StatusLine(process.stderr) : undefined
  const prepared = await readQuestions(chosen, line, status)
  const evaluations: Evaluation[] = []
  const written: unknown[] = []
  for (const model of models) {
    const began = Date.now()
    const { bootstrap: bootstrapIterations, output } = line
    const options = { bootstrapIterations, onProgress: progressOf(model.name, status) }
    const evaluation = await evaluate(model, prepared, chosen, options).finally(() => status?.clear())
    const { limit, batchSize, seed } = line
    const times = { began, seconds: (Date.now() - began) / 1000 }
    const facts = { model, prepared, groups: chosen.groups, limit, batchSize, seed, bootstrapIterations, ...times }
    evaluations.push(evaluation)
    written.push(resultsJson(evaluation, facts))
    // Each as soon as it is there: a second model may yet fail.
    if (output !== undefined) terminal.note(`Wrote ${writeResults(output, evaluation, facts, line.logSamples)}`)
  }
  if (line.json) terminal.json(written)
  else printTable(words, scoreRows(evaluations, prepared, chosen.groups), terminal)
}

async function readQuestions(
  chosen: ChosenTasks,
  { limit, numFewshot, seed }: EvaluationLine,
  status: StatusLine | undefined,
): Promise<PreparedTask[]> {
  const onProgress = (have: number, of: number) =>
    status?.set(`Fetching data  ${formatBytes(have)} of ${formatBytes(of)}`)
  status?.set('Reading the questions')
  return await prepareTasks(chosen, { limit, numFewshot, seed, hub: { onProgress } }).finally(() => status?.clear())
}

async function openEvaluated(word: string, line: EvaluationLine, terminal: Terminal): Promise<EvaluatedModel> {
  const { batchSize, contextLength } = line
  if (/^https?:\/\//i.test(word)) {
    const tokenizer = line.tokenizer === undefined ? undefined : await openTokenizer(line.tokenizer)
    return await EndpointModel.open(word, { tokenizer, contextLength, batchSize })
  }
  const { name, model, tokenizer } = await openTextModel(word, terminal.note, { quantize: line.quantize })
  return new LocalModel({ name, model, tokenizer, batchSize })
}

const BAR = 20

/** A bar where a person looks, else nothing. */
function progressOf(name: string, status: StatusLine | undefined) {
  const began = performance.now()
  return (answered: number, of: number) => {
    const seconds = (performance.now() - began) / 1000
    // The first answers take longest, and say nothing of the rest.
    const left = seconds < 3 ? '' : `  ${formatDuration((seconds / answered) * (of - answered))} left`
    const full = Math.floor((answered / of) * BAR)
    const bar = `${'█'.repeat(full)}${'░'.repeat(BAR - full)}`
    status?.set(`${bar} ${answered} of ${of} answers${left}  ${name}`)
  }
}

function printTable(words: readonly string[], rows: readonly ScoreRow[], terminal: Terminal): void {
  const shown = (value: number) =>
    Number.isFinite(value) && Math.abs(value) < 1e6 ? value.toFixed(4) : value.toExponential(3)
  const cell = ({ value, error }: ScoreRow['scores'][number]) =>
    error === undefined ? shown(value) : `${shown(value)} ± ${shown(error)}`
  const lines = rows.map(({ task, shots, filter, metric, higherIsBetter, scores }) => [
    task,
    shots === undefined ? '' : String(shots),
    filter,
    `${metric} ${higherIsBetter ? '↑' : '↓'}`,
    ...scores.map(cell),
  ])
  terminal.print(table(lines, ['task', 'shots', 'filter', 'metric', ...words]))
}
