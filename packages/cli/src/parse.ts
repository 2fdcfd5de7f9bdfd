// From the words of the line to typed values, by the specifications of the commands. Commander splits the line, knows
// what is near to an unknown word, and lays out the help; values are checked here, so that all mistakes show at once.
import { Argument, Command as Program, CommanderError, Option } from 'commander'
import type { ArgumentSpec, Command, OptionSpec } from './command.js'
import { flagOf, placeholderOf, usageOf } from './command.js'
import { UsageError } from './failure.js'
import type { Terminal } from './terminal.js'

/**
 * Reads the line and runs the command it names.
 * @param words the line without `node hearth`
 * @throws UsageError when the line is not one of these commands
 */
export async function runLine(
  words: readonly string[],
  commands: readonly Command[],
  version: string,
  terminal: Terminal,
): Promise<void> {
  const program = new Program('hearth')
    .description('Train, adapt and run open models on hardware you own.')
    .version(version, '--version', 'print the version')
    .usage('COMMAND [options]')
    .helpCommand('help [COMMAND]', 'print the help of a command')
    .helpOption('-h, --help', 'print this help')
    .addHelpText('after', `\nEvery command has --help. Start with: hearth quickstart`)
  prepare(program, terminal)
  for (const command of commands) program.addCommand(programOf(command, terminal))
  try {
    await program.parseAsync(withoutMistakenHelp(words, commands), { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode !== 0) throw usageError(error, words, commands)
  }
}

// Commander answers `help nope` and `nope --help` with the list of commands, as if nothing was wrong.
function withoutMistakenHelp(words: readonly string[], commands: readonly Command[]): string[] {
  const named = words[0] === 'help' ? words[1] : words[0]
  const known =
    named === undefined || named.startsWith('-') || ['help', ...commands.map(({ name }) => name)].includes(named)
  return known ? [...words] : [named]
}

function prepare(program: Program, terminal: Terminal): void {
  const { bold, cyan } = terminal.colors
  program
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({
      styleTitle: (text) => bold(text),
      styleSubcommandTerm: (text) => cyan(text),
      styleOptionTerm: (text) => cyan(text),
      // Names alone: what each takes is in its own help.
      subcommandTerm: (command) => command.name(),
    })
    // Errors are printed in one place, failure.ts; help without a command is help, not an error.
    .configureOutput({
      writeOut: (text) => terminal.write(text),
      writeErr: (text) => terminal.write(text),
      outputError: () => undefined,
    })
}

function usageError(error: CommanderError, words: readonly string[], commands: readonly Command[]): UsageError | Error {
  const named = commands.find((command) => command.name === words[0])
  return new UsageError([error.message.replace(/^error: /, '').replace(/\n/g, ' ')], named?.name)
}

/** Commander's form of one command. */
function programOf(command: Command, terminal: Terminal): Program {
  const program = new Program(command.name)
    .summary(command.summary)
    .description(command.description.join('\n\n'))
    .usage(usageOf(command).slice(`hearth ${command.name} `.length))
    .helpOption('-h, --help', 'print this help')
    .addHelpText('after', examplesText(command))
  prepare(program, terminal)
  for (const [name, spec] of Object.entries(command.arguments)) program.addArgument(argumentOf(name, spec))
  for (const [key, spec] of Object.entries(command.options)) program.addOption(optionOf(key, spec))
  return program.action(async () => {
    const line = readValues(command, program.args, program.opts<Record<string, string | boolean | string[]>>())
    await command.run({ ...line, terminal })
  })
}

const examplesText = ({ examples }: Command): string =>
  ['', 'Examples:', ...examples.flatMap(({ line, does }) => [`  # ${does}`, `  ${line}`])].join('\n')

function argumentOf(name: string, spec: ArgumentSpec): Argument {
  const written = `${name}${spec.many ? '...' : ''}`
  const argument = new Argument(spec.required ? `<${written}>` : `[${written}]`, spec.description)
  // Commander takes its own brackets; the help shows ours.
  argument.name = () => placeholderOf(name, spec).replace(/[[\].]/g, '')
  return argument
}

/** The flag as help and documentation show it: `--max-tokens N`. */
export const optionTerm = (key: string, spec: OptionSpec): string =>
  spec.kind === 'flag' ? flagOf(key) : `${flagOf(key)} ${spec.value}`

/** The description with what can be known about the values. */
export function optionDescription(spec: OptionSpec): string {
  const notes = [
    'choices' in spec && spec.choices ? `one of ${spec.choices.join(', ')}` : '',
    spec.kind === 'list' ? 'may be given several times' : '',
    'default' in spec ? `default: ${spec.default}` : '',
  ].filter((note) => note !== '')
  return notes.length === 0 ? spec.description : `${spec.description} (${notes.join('; ')})`
}

function optionOf(key: string, spec: OptionSpec): Option {
  const taken = spec.kind === 'flag' ? flagOf(key) : `${flagOf(key)} <${spec.value}>`
  const option = new Option(taken, optionDescription(spec))
  return spec.kind === 'list'
    ? option.argParser((word: string, before: string[] | undefined) => [...(before ?? []), word])
    : option
}

type RawOptions = Record<string, string | boolean | string[]>

function readValues(command: Command, words: readonly string[], raw: RawOptions) {
  const problems: string[] = []
  const values: Record<string, unknown> = {}
  const rest = [...words]
  for (const [name, spec] of Object.entries(command.arguments)) {
    const word = spec.many ? rest.splice(0) : rest.shift()
    if (typeof word === 'string' && spec.choices && !spec.choices.includes(word))
      problems.push(`${name.toUpperCase()} is ${JSON.stringify(word)}; expected one of ${spec.choices.join(', ')}`)
    values[name] = word
  }
  const options: Record<string, unknown> = {}
  for (const [key, spec] of Object.entries(command.options)) options[key] = readOption(key, spec, raw[key], problems)
  if (problems.length > 0) throw new UsageError(problems, command.name)
  return { arguments: values, options }
}

function readOption(key: string, spec: OptionSpec, raw: RawOptions[string] | undefined, problems: string[]): unknown {
  if (spec.kind === 'flag') return raw === true
  if (spec.kind === 'list') return raw ?? []
  if (typeof raw !== 'string') return spec.default
  if (spec.kind === 'text') {
    if (spec.choices && !spec.choices.includes(raw))
      problems.push(`${flagOf(key)} is ${JSON.stringify(raw)}; expected one of ${spec.choices.join(', ')}`)
    return raw
  }
  const value = raw.trim() === '' ? NaN : Number(raw)
  const { minimum = -Infinity, maximum = Infinity } = spec
  const fits =
    Number.isFinite(value) &&
    value >= minimum &&
    value <= maximum &&
    (spec.kind === 'number' || Number.isSafeInteger(value))
  if (!fits)
    problems.push(`${flagOf(key)} is ${JSON.stringify(raw)}; expected ${expectedNumber(spec.kind, minimum, maximum)}`)
  return value
}

function expectedNumber(kind: 'number' | 'integer', minimum: number, maximum: number): string {
  const noun = kind === 'integer' ? 'a whole number' : 'a number'
  if (Number.isFinite(minimum) && Number.isFinite(maximum)) return `${noun} from ${minimum} to ${maximum}`
  return Number.isFinite(minimum) ? `${noun}, at least ${minimum}` : noun
}
