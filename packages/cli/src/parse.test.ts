import { describe, expect, test } from 'vitest'
import { recordedTerminal } from './terminal-recording.js'
import { defineCommand, type Command } from './command.js'
import { UsageError } from './failure.js'
import { runLine } from './parse.js'

const seen: unknown[] = []
const write = defineCommand({
  name: 'write',
  summary: 'write text',
  description: ['Writes text.', 'In two paragraphs.'],
  arguments: {
    model: { description: 'the model', required: true },
    words: { description: 'the words', many: true },
  },
  options: {
    maxTokens: { kind: 'integer', value: 'N', default: 16, minimum: 1, description: 'tokens to write' },
    topP: { kind: 'number', value: 'P', minimum: 0, maximum: 1, description: 'nucleus' },
    tone: { kind: 'text', value: 'TONE', choices: ['low', 'high'], description: 'how it sounds' },
    stop: { kind: 'list', value: 'TEXT', description: 'stop at this text' },
    json: { kind: 'flag', description: 'as JSON' },
  },
  examples: [{ line: 'hearth write spark', does: 'Write' }],
  run: ({ arguments: { model, words }, options: { maxTokens, topP, stop } }) => {
    // The types come from the specification: these lines compile only if they are right.
    const typed: [string, string[], number, number | undefined, string[]] = [model, words, maxTokens, topP, stop]
    seen.push(typed)
    return Promise.resolve()
  },
})

async function run(line: string, commands: readonly Command[] = [write]) {
  const terminal = recordedTerminal()
  const error = await runLine(line.split(' '), commands, '1.2.3', terminal).catch((thrown: unknown) => thrown)
  return { terminal, error, message: error instanceof Error ? error.message : '' }
}

describe('the line of a command', () => {
  test('gives typed arguments and options, and defaults for those that are missing', async () => {
    await run('write spark a b --top-p 0.5 --stop x --stop y')
    expect(seen.at(-1)).toEqual(['spark', ['a', 'b'], 16, 0.5, ['x', 'y']])
  })

  test('takes negative numbers and exponents where they are allowed', async () => {
    await run('write spark --top-p 1e-3')
    expect(seen.at(-1)).toEqual(['spark', [], 16, 0.001, []])
  })

  test('names the command that was meant', async () => {
    const { error, message } = await run('wriet spark')
    expect(error).toBeInstanceOf(UsageError)
    expect(message).toContain("unknown command 'wriet'")
    expect(message).toContain('Did you mean write?')
  })

  test('names the option that was meant', async () => {
    const { error, message } = await run('write spark --max-token 3')
    expect(error).toBeInstanceOf(UsageError)
    expect(message).toContain('--max-tokens')
  })

  test('says which argument is missing', async () => {
    expect((await run('write')).message).toContain("missing required argument 'MODEL'")
  })

  test('reports every wrong value at once', async () => {
    const { error, message } = await run('write spark --max-tokens 0 --top-p NaN --tone loud')
    expect(error).toBeInstanceOf(UsageError)
    expect(message.split('\n')).toEqual([
      '--max-tokens is "0"; expected a whole number, at least 1',
      '--top-p is "NaN"; expected a number from 0 to 1',
      '--tone is "loud"; expected one of low, high',
    ])
  })

  test.each(['1.5', 'ten', '1e99', '', 'Infinity'])('refuses %j as a whole number', async (word) => {
    const terminal = recordedTerminal()
    await expect(runLine(['write', 'spark', '--max-tokens', word], [write], '', terminal)).rejects.toThrow(UsageError)
  })
})

describe('help', () => {
  test('of a command is made from its specification', async () => {
    const { terminal, error } = await run('write --help')
    expect(error).toBeUndefined()
    expect(terminal.out).toContain('Usage: hearth write MODEL [WORDS...] [options]')
    expect(terminal.out).toContain('--max-tokens <N>')
    expect(terminal.out).toContain('tokens to write (default: 16)')
    expect(terminal.out).toContain('  # Write\n  hearth write spark')
  })

  test('lists the commands, and the version is the one given', async () => {
    expect((await run('--help')).terminal.out).toMatch(/write .*write text/)
    expect((await run('--version')).terminal.out).toBe('1.2.3\n')
  })
})
