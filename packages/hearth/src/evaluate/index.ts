// hearth/evaluate: tasks in lm-evaluation-harness's files, asked of models here and of endpoints elsewhere, and their scores
// with the harness's formulas.
export { chooseTasks, ownTaskNames, type ChosenTasks, type TaskGroup } from './tasks/catalogue.js'
export { defineTask, type TaskDefinition } from './tasks/task-definition.js'
export { readTaskFile } from './tasks/task-file.js'
