// What a command of `hearth` is: one typed object with its arguments, its options, examples and the function that runs
// it. Parsing (parse.ts), --help and the pages of docs/cli (docs.ts) are derived from these objects, so they agree.
import type { Terminal } from './terminal.js'

export interface ArgumentSpec {
  description: string
  /** The command cannot run without it. */
  required?: boolean
  /** Takes all that is left on the line. */
  many?: boolean
  choices?: readonly string[]
}

interface Described {
  description: string
  /** What stands for the value in the help: `N`, `FILE`. */
  value: string
}

/** One option; its key in camelCase is its flag: `maxTokens` is `--max-tokens`. */
export type OptionSpec =
  | { kind: 'flag'; description: string }
  | ({ kind: 'text'; default?: string; choices?: readonly string[] } & Described)
  | ({ kind: 'number'; default?: number; minimum?: number; maximum?: number } & Described)
  | ({ kind: 'integer'; default?: number; minimum?: number; maximum?: number } & Described)
  /** May be given several times. */
  | ({ kind: 'list' } & Described)

export type ArgumentSpecs = Readonly<Record<string, ArgumentSpec>>
export type OptionSpecs = Readonly<Record<string, OptionSpec>>

type ArgumentValue<S> = S extends { many: true } ? string[] : S extends { required: true } ? string : string | undefined
type OrMissing<S, V> = S extends { default: V } ? V : V | undefined
type OptionValue<S extends OptionSpec> = S['kind'] extends 'flag'
  ? boolean
  : S['kind'] extends 'list'
    ? string[]
    : S['kind'] extends 'text'
      ? OrMissing<S, string>
      : OrMissing<S, number>

/** What a command's function gets: the line as its specification types it. */
export interface Invocation<A extends ArgumentSpecs, O extends OptionSpecs> {
  arguments: { [K in keyof A]: ArgumentValue<A[K]> }
  options: { [K in keyof O]: OptionValue<O[K]> }
  terminal: Terminal
}

export interface CommandSpec<A extends ArgumentSpecs, O extends OptionSpecs> {
  name: string
  /** One line, for the list of commands. */
  summary: string
  /** What it does, paragraph by paragraph. */
  description: readonly string[]
  /** In the order of the line. */
  arguments: A
  options: O
  /** Lines that can be pasted, each with what it does. */
  examples: readonly { line: string; does: string }[]
  run(invocation: Invocation<A, O>): Promise<void>
}

/** A command whose line is no longer typed: as the parser and the documentation see it. */
export type Command = Omit<CommandSpec<ArgumentSpecs, OptionSpecs>, 'run'> & {
  run(invocation: {
    arguments: Record<string, unknown>
    options: Record<string, unknown>
    terminal: Terminal
  }): Promise<void>
}

/**
 * Declares a command. `run` gets its arguments and options with the types that the specification gives them.
 * Heavy libraries are imported inside `run`: `hearth --help` must not load libtorch.
 */
export function defineCommand<const A extends ArgumentSpecs, const O extends OptionSpecs>(
  spec: CommandSpec<A, O>,
): Command {
  // parse.ts makes the values by the same specification that types them here.
  return spec
}

/** `maxTokens` → `--max-tokens`. */
export const flagOf = (key: string): string => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

/** An argument as the line of usage shows it: `MODEL`, `[DATA...]`. */
export function placeholderOf(name: string, spec: ArgumentSpec): string {
  const shown = (spec.choices?.join('|') ?? name.toUpperCase()) + (spec.many ? '...' : '')
  return spec.required ? shown : `[${shown}]`
}

/** The line of usage: `hearth score MODEL [options]`. */
export function usageOf(command: Command): string {
  const placeholders = Object.entries(command.arguments).map(([name, spec]) => placeholderOf(name, spec))
  return ['hearth', command.name, ...placeholders, '[options]'].join(' ')
}
