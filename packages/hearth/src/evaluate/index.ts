// hearth/evaluate: tasks in lm-evaluation-harness's files, asked of models here and of endpoints elsewhere, and their scores
// with the harness's formulas.
export { checkAnswerable, countRequests, evaluate, type Evaluation, type Sample, type TaskScores } from './evaluate.js'
export { EndpointModel, type EndpointModelOptions } from './models/endpoint-model.js'
export type { ContinuationRequest, EvaluatedModel, TextRequest } from './models/evaluated-model.js'
export { LocalModel, type LocalModelOptions } from './models/local-model.js'
export { prepareTasks, type PreparedTask, type PrepareOptions } from './prepare.js'
export { resultsJson, scoreRows, writeResults, type RunFacts, type ScoreRow } from './results.js'
export { chooseTasks, ownTaskNames, type ChosenTasks, type TaskGroup } from './tasks/catalogue.js'
export { defineTask, type TaskDefinition } from './tasks/task-definition.js'
export { readTaskFile } from './tasks/task-file.js'
