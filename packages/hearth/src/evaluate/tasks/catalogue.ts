// Tasks by name: those that ship with Hearth (packages/hearth/tasks), and files that a person names. A group is tasks whose
// scores are also given together.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { closest, distance } from 'fastest-levenshtein'
import { ConfigError, FormatError } from '@hearth/torch'
import { z } from 'zod'
import { defineTask, type TaskDefinition } from './task-definition.js'
import { inlineTask, readTaskFile, type Fields, type RawTask } from './task-file.js'

// The same from src/evaluate/tasks and from dist/evaluate/tasks.
const OWN = fileURLToPath(new URL('../../../tasks/', import.meta.url))

const groupSchema = z.strictObject({
  group: z.string(),
  group_alias: z.string().optional(),
  task: z.array(z.union([z.string(), z.record(z.string(), z.unknown())])).min(1),
  aggregate_metric_list: z
    .array(
      z.strictObject({
        metric: z.string(),
        aggregation: z.literal('mean').optional(),
        weight_by_size: z.boolean().default(true),
        filter_list: z.union([z.string(), z.array(z.string())]).optional(),
      }),
    )
    .default([]),
  metadata: z.record(z.string(), z.unknown()).optional(),
})

export interface TaskGroup {
  name: string
  alias: string
  /** Names of tasks and of groups, in the order of the file. */
  members: readonly string[]
  scores: readonly { metric: string; bySize: boolean }[]
  version: unknown
}

/** What is to be asked: groups may share tasks, and each task is asked once. */
export interface ChosenTasks {
  tasks: Map<string, TaskDefinition>
  groups: Map<string, TaskGroup>
}

/** What is known by name, not yet looked into. */
interface Known {
  tasks: Map<string, RawTask>
  groups: Map<string, TaskGroup>
  tags: Map<string, string[]>
}

const isFile = (word: string): boolean => /\.ya?ml$/i.test(word)

/** Names of the tasks and groups that ship with Hearth; of a group's members only the group. */
export function ownTaskNames(): string[] {
  const files = readdirSync(OWN).filter((name) => isFile(name) && !name.startsWith('_'))
  return files.map((name) => name.replace(/\.ya?ml$/i, '')).sort()
}

/**
 * @param words names, tags, or paths of task files
 * @throws ConfigError for names that nothing has, with the nearest; what readTaskFile() and defineTask() throw
 * @example
 * const { tasks } = chooseTasks(['arc_easy', 'my-task.yaml'])
 */
export function chooseTasks(words: readonly string[]): ChosenTasks {
  const known: Known = { tasks: new Map(), groups: new Map(), tags: new Map() }
  for (const name of ownTaskNames()) register(readTaskFile(join(OWN, `${name}.yaml`)), known)
  const names = words.map((word) => (isFile(word) ? register(readTaskFile(word), known) : word))
  const all = [...known.tasks.keys(), ...known.groups.keys(), ...known.tags.keys()]
  const issues = names
    .filter((name) => !all.includes(name))
    .map((name) => ({ path: name, message: unknown(name, all) }))
  if (issues.length > 0)
    throw new ConfigError('tasks', issues, {
      remedy: `there are ${ownTaskNames().join(', ')}; or give the path of a task file (.yaml)`,
    })
  const chosen: ChosenTasks = { tasks: new Map(), groups: new Map() }
  for (const name of names) choose(name, known, chosen)
  return chosen
}

function unknown(name: string, all: readonly string[]): string {
  if (existsSync(name)) return 'is a path, but not of a task file (.yaml)'
  const near = closest(name, all)
  return distance(name, near) <= Math.max(2, name.length / 3) ? `is no task; did you mean ${near}?` : 'is no task'
}

function choose(name: string, known: Known, chosen: ChosenTasks): void {
  const group = known.groups.get(name)
  const task = known.tasks.get(name)
  if (group !== undefined) chosen.groups.set(name, group)
  else if (task !== undefined && !chosen.tasks.has(name)) chosen.tasks.set(name, defineTask(task))
  for (const member of group?.members ?? (task ? [] : (known.tags.get(name) ?? []))) {
    if (!known.tasks.has(member) && !known.groups.has(member) && !known.tags.has(member))
      throw new FormatError(`the group ${name} has ${member}, which is no task that is known`)
    if (!chosen.groups.has(member)) choose(member, known, chosen)
  }
}

/** @returns the name of the task or group */
function register(raw: RawTask, known: Known): string {
  const { fields, file } = raw
  if (fields.group !== undefined) return registerGroup(raw, known)
  if (typeof fields.task !== 'string')
    throw new FormatError(`${file}: names no task: it needs the field task, or group with a list of tasks`)
  known.tasks.set(fields.task, raw)
  for (const tag of [fields.tag ?? []].flat() as string[])
    known.tags.set(tag, [...(known.tags.get(tag) ?? []), fields.task])
  return fields.task
}

function registerGroup({ fields, file }: RawTask, known: Known): string {
  const read = groupSchema.safeParse(fields)
  if (!read.success)
    throw new ConfigError(
      file,
      read.error.issues.map(({ path, message }) => ({ path: path.join('.') || '(the file)', message })),
    )
  const { group: name, group_alias: alias = name, task: written, aggregate_metric_list: scores, metadata } = read.data
  const members = written.map((member) => (typeof member === 'string' ? member : registerMember(member, file, known)))
  const each = scores.map(({ metric, weight_by_size: bySize }) => ({ metric, bySize }))
  known.groups.set(name, { name, alias, members, scores: each, version: metadata?.version })
  return name
}

/** A member that changes a task which has the name already is that task with the changes. */
function registerMember(fields: Fields, file: string, known: Known): string {
  const raw = inlineTask(fields, file)
  const before = known.tasks.get(String(raw.fields.task))
  return register(before === undefined ? raw : { ...raw, fields: { ...before.fields, ...raw.fields } }, known)
}
