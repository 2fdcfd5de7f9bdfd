// From a row of data to what a model is asked: the texts that a task makes of it, examples with their answers before it, and
// the requests. The rules are lm-evaluation-harness's (api/task.py), to the character.
import { DataError } from '@hearth/torch'
import { renderTaskTemplate } from '../../data/index.js'
import { PythonRandom } from '../scoring/python-random.js'
import type { TaskDefinition } from './task-definition.js'

export type Row = Readonly<Record<string, unknown>>

/** What a row means to its task. */
export interface Reading {
  /** A place among the choices where the choices are whole questions, as in winogrande. */
  text: string | number
  target: string | number | readonly unknown[]
  choices: readonly string[] | undefined
}

type Texts = Pick<TaskDefinition, 'doc_to_text' | 'doc_to_target' | 'doc_to_choice'>

/** Fields of rows are named by themselves; anything else is a template. */
export class Questions {
  readonly #task: TaskDefinition
  readonly #fields: ReadonlySet<string>
  readonly #examples: readonly Row[]
  readonly #random: PythonRandom
  readonly #read = new Map<Row, Reading>()
  readonly #shown = new Map<Row, Reading>()
  readonly #hasOwnExamples: boolean

  /**
   * @param rows those that are asked; the first one's fields are those of all
   * @param examples to draw from
   * @param seed of the draw
   */
  constructor(task: TaskDefinition, rows: readonly Row[], examples: readonly Row[], seed: number) {
    this.#task = task
    this.#fields = new Set(Object.keys(rows[0] ?? {}))
    this.#examples = examples
    this.#random = new PythonRandom(seed)
    const split = task.fewshot_config?.split ?? task.fewshot_split ?? undefined
    this.#hasOwnExamples = split !== (task.test_split ?? undefined)
  }

  /** @throws DataError naming the field of the task that does not fit the row */
  read(row: Row): Reading {
    return memo(this.#read, row, () => this.#reading(row, this.#task))
  }

  /** A text of the task itself: a field of the row, or a template. */
  resolve(row: Row, source: string | null | undefined, path: string): string {
    if (source === null || source === undefined || source === '') return ''
    return Object.hasOwn(row, source) ? String(row[source]) : this.#render(source, row, path).text
  }

  /**
   * Everything before the continuation; several where the choices are whole questions.
   * @param shots examples with their answers
   */
  context(row: Row, shots: number): string | string[] {
    const task = this.#task
    const prefix = this.resolve(row, task.gen_prefix, 'gen_prefix')
    const before =
      this.resolve(row, task.description, 'description') +
      this.#drawn(row, shots)
        .map((one) => this.#solved(one))
        .join('')
    const { text, choices } = this.read(row)
    const whole = (question: string, delimiter: string) => {
      const between = prefix !== '' && question !== '' && !touchesSpace(question, prefix) ? delimiter : ''
      return before + question + between + prefix
    }
    if (typeof text === 'string') return whole(text, task.target_delimiter)
    return choices!.map((choice) => whole(choice, ''))
  }

  #drawn(row: Row, shots: number): readonly Row[] {
    if (shots === 0) return []
    const needed = this.#hasOwnExamples ? shots : shots + 1
    const pool = this.#examples
    const others = (some: readonly Row[]) => (this.#hasOwnExamples ? some : some.filter((each) => !same(each, row)))
    if (pool.length < needed)
      throw new DataError(
        `${this.#task.task}: ${shots} examples are wanted, and there are ${pool.length} to draw from`,
        {
          remedy: 'ask for fewer: --num-fewshot',
        },
      )
    if (this.#task.fewshot_config?.sampler === 'first_n') return others(pool).slice(0, shots)
    return others(this.#random.sample(pool, needed)).slice(0, shots)
  }

  /** An example with its answer, and what is between it and the next. */
  #solved(row: Row): string {
    const { fewshot_config: own, ...task } = this.#task
    const texts = { ...task, ...own } as TaskDefinition
    const { text, target, choices } = memo(this.#shown, row, () => this.#reading(row, texts))
    const isPlace = typeof text === 'number'
    const question = isPlace ? choices![text] : text
    const answer: unknown = Array.isArray(target)
      ? target[0]
      : typeof target === 'number' && !isPlace
        ? choices?.[target]
        : target
    if (typeof question !== 'string' || typeof answer !== 'string')
      throw new DataError(`${this.#task.task}: an example has no answer that is a text: ${JSON.stringify(target)}`)
    const prefix = this.resolve(row, texts.gen_prefix, 'gen_prefix')
    const joined =
      prefix === '' || answer === '' || touchesSpace(prefix, answer) ? prefix + answer : `${prefix} ${answer}`
    const between = prefix === '' || (question !== '' && !touchesSpace(question, prefix)) ? texts.target_delimiter : ''
    return question + (answer === '' ? '' : between + joined + texts.fewshot_delimiter)
  }

  #reading(row: Row, { doc_to_text: text, doc_to_target: target, doc_to_choice: choice }: Texts): Reading {
    const hasChoices = choice !== null && choice !== undefined
    const asPlace = (value: unknown) => (hasChoices && /^[0-9]+$/.test(String(value)) ? Number(value) : String(value))
    const given = (source: string, path: string) =>
      this.#fields.has(source) ? row[source] : this.#render(source, row, path)
    const ofText = () => {
      if (typeof text === 'number') return text
      const value = given(text, 'doc_to_text')
      return isRendered(value) ? asPlace(value.text) : typeof value === 'number' && hasChoices ? value : String(value)
    }
    const ofTarget = () => {
      if (typeof target !== 'string') return target
      const value = given(target, 'doc_to_target')
      if (isRendered(value)) return value.value ?? asPlace(value.text)
      return typeof value === 'number' || Array.isArray(value) ? (value as number | unknown[]) : String(value)
    }
    return { text: ofText(), target: ofTarget(), choices: hasChoices ? this.#choices(row, choice, given) : undefined }
  }

  #choices(
    row: Row,
    choice: NonNullable<Texts['doc_to_choice']>,
    given: (source: string, path: string) => unknown,
  ): string[] {
    if (Array.isArray(choice)) return choice
    if (typeof choice === 'object') return Object.values(choice)
    const value = given(choice, 'doc_to_choice')
    const list = isRendered(value) ? value.value : value
    if (Array.isArray(list) && list.length > 0 && list.every((each) => typeof each === 'string' && each !== ''))
      return list as string[]
    throw new DataError(`${this.#task.task}: doc_to_choice gives no list of texts for the row ${shown(row)}`)
  }

  #render(source: string, row: Row, path: string): Rendered {
    try {
      return { ...renderTaskTemplate(source, row), isRendered: true }
    } catch (cause) {
      if (!(cause instanceof DataError)) throw cause
      throw new DataError(`${this.#task.file}: ${path}: ${cause.message}, for the row ${shown(row)}`, { cause })
    }
  }
}

interface Rendered {
  text: string
  value?: unknown[]
  isRendered: true
}
const isRendered = (value: unknown): value is Rendered =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && 'isRendered' in value

const touchesSpace = (left: string, right: string): boolean => /\s$/.test(left) || /^\s/.test(right)
const same = (a: Row, b: Row): boolean => a === b || JSON.stringify(a) === JSON.stringify(b)
const shown = (row: Row): string => {
  const text = JSON.stringify(row)
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`
}

function memo(map: Map<Row, Reading>, row: Row, make: () => Reading): Reading {
  const kept = map.get(row)
  if (kept !== undefined) return kept
  const made = make()
  map.set(row, made)
  return made
}
