#!/usr/bin/env node
// The `hearth` command: finds the command that the line names, runs it, and turns whatever it throws into a message
// and an exit code.
import { readFileSync } from 'node:fs'
import { commands } from './commands/index.js'
import { reportFailure } from './failure.js'
import { runLine } from './parse.js'
import { processTerminal, quietBrokenPipes } from './terminal.js'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
const terminal = processTerminal()
quietBrokenPipes()
try {
  const words = process.argv.slice(2)
  await runLine(words.length === 0 ? ['--help'] : words, commands, version, terminal)
  process.exitCode = terminal.exitCode
} catch (error) {
  process.exitCode = reportFailure(error, terminal)
}
