// What may change in a run that goes on, and what may not: fields that decided the bits of steps already done are
// refused. What was changed, and after which step, stays with the run (config.json), so that its steps keep their bits.
import { createHash } from 'node:crypto'
import { ConfigError, FormatError, type ConfigIssue } from '@hearth/torch'
import { z } from 'zod'
import { resolveConfig, type RunConfig } from './config.js'

const runChange = z.object({
  /** When, as in `2026-01-31T12:00:00.000Z`. */
  at: z.string(),
  /** Steps that were done: the change counts for those after it. */
  step: z.int().min(0),
  /** Dotted path → value, before and after; a field that was not there is left out. */
  from: z.record(z.string(), z.unknown()),
  to: z.record(z.string(), z.unknown()),
})

/** A change of a run's configuration on the way. */
export type RunChange = z.output<typeof runChange>

/**
 * The changes that a run's record holds, in their order.
 * @throws FormatError when they are not a list of changes
 */
export function changesOf(record: { changes?: unknown }, where: string): RunChange[] {
  const parsed = z.array(runChange).safeParse(record.changes ?? [])
  if (parsed.success) return parsed.data
  const { path, message } = parsed.error.issues[0]!
  throw new FormatError(`${where}: changes.${path.join('.')} is damaged: ${message}`)
}

// How often a run is looked at, how long it lasts, and what will count as trouble does not decide what its steps were.
const CHANGEABLE = ['steps', 'every', 'keepCheckpoints', 'evaluateTokens', 'name', 'samplePrompt', 'copies', 'guard']
const isChangeable = (path: string): boolean => CHANGEABLE.includes(path.split('.')[0]!)

/** Names everything that decides the bits of steps already done: a checkpoint of another configuration is refused. */
export function configHash(config: RunConfig): string {
  const decides = Object.fromEntries(Object.entries(config).filter(([name]) => !isChangeable(name)))
  return createHash('sha256').update(JSON.stringify(decides)).digest('hex')
}

/** A configuration with changed fields, and what changed. */
export interface ChangedConfig {
  config: RunConfig
  change: RunChange
}

export interface ChangeOptions {
  /** Steps that are done. */
  step: number
  /** For messages. */
  where: string
}

/**
 * Checks a changed configuration against the one that a run was started with.
 * @returns undefined when both say the same
 * @throws ConfigError with every field that is wrong, or decided the bits of steps already done
 */
export function changeConfig(before: RunConfig, wanted: unknown, options: ChangeOptions): ChangedConfig | undefined {
  const { step, where } = options
  const [from, to] = differences(before, wanted)
  const invalid = issuesOf(wanted, where)
  const known = new Set(invalid.map(({ path }) => path))
  const paths = [...new Set([...Object.keys(from), ...Object.keys(to)])]
  const refused = paths
    .filter((path) => !isChangeable(path) && !known.has(path))
    .map((path) => ({ path, message: `${shown(from[path])} cannot become ${shown(to[path])}` }))
  const { steps } = wanted as RunConfig
  const short =
    !known.has('steps') && steps < step ? [{ path: 'steps', message: `${steps}, but ${step} steps are done` }] : []
  const remedy =
    'what decided the steps already done stays as it is: start a new run for other values. ' +
    `A run that goes on takes: ${CHANGEABLE.join(', ')}`
  const issues = [...invalid, ...refused, ...short]
  if (issues.length > 0) throw new ConfigError(where, issues, refused.length > 0 ? { remedy } : {})
  if (paths.length === 0) return undefined
  return { config: resolveConfig(wanted, where), change: { at: new Date().toISOString(), step, from, to } }
}

/**
 * The changes of a run with one more. Earlier ones that count only for steps still to be done again count from here.
 */
export const withChange = (changes: readonly RunChange[], change: RunChange): RunChange[] => [
  ...changes.map((earlier) => ({ ...earlier, step: Math.min(earlier.step, change.step) })),
  change,
]

/** The total of steps that counts for a step: its learning rate follows from it, also when it is done once more. */
export function totalStepsAt(step: number, { steps }: RunConfig, changes: readonly RunChange[]): number {
  const next = changes.find((change) => change.step > step && typeof change.from.steps === 'number')
  return next === undefined ? steps : (next.from.steps as number)
}

function issuesOf(wanted: unknown, where: string): readonly ConfigIssue[] {
  try {
    resolveConfig(wanted, where)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.issues
    throw error
  }
}

/** The fields that differ, as they are in each of both. */
function differences(a: unknown, b: unknown): [Record<string, unknown>, Record<string, unknown>] {
  const [from, to] = [fieldsOf(a), fieldsOf(b)]
  const same = (path: string) => path in from && path in to && Object.is(from[path], to[path])
  const differing = (fields: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(fields).filter(([path]) => !same(path)))
  return [differing(from), differing(to)]
}

/** Dotted path → value of every field. */
function fieldsOf(value: unknown, path = ''): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return value === undefined ? {} : { [path]: value }
  const inner = Object.entries(value).map(([key, each]) => fieldsOf(each, path === '' ? key : `${path}.${key}`))
  return Object.assign({}, ...inner) as Record<string, unknown>
}

const shown = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value))
