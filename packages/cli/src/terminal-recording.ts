// A terminal for tests that keeps what was written to it.
import pc from 'picocolors'
import type { Terminal } from './terminal.js'

export interface RecordedTerminal extends Terminal {
  out: string
  err: string
}

export function recordedTerminal(): RecordedTerminal {
  const plain = pc.createColors(false)
  const terminal: RecordedTerminal = {
    out: '',
    err: '',
    print: (text) => (terminal.out += `${text}\n`),
    write: (text) => (terminal.out += text),
    writeText: (text) => (terminal.out += text),
    json: (value) => (terminal.out += JSON.stringify(value)),
    note: (text) => (terminal.err += `${text}\n`),
    colors: plain,
    noteColors: plain,
    interactive: false,
    exitCode: 0,
  }
  return terminal
}
