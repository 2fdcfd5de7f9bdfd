// Fuzzes a parser in child processes; after a fault it goes on behind it.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** More than the start of a child takes; a parser that hangs is ended by it. */
const PATIENCE_SECONDS = 30

export interface ParserFault {
  seed: number
  how: string
  output: string
}

function runChild(
  parser: string,
  folder: string,
  seed: number,
  seconds: number,
): Promise<{ how: string; output: string }> {
  const script = fileURLToPath(new URL('child.ts', import.meta.url))
  const args = ['--import', 'tsx', script, parser, folder, String(seed), String(seconds)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text.toString()))
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), (seconds + PATIENCE_SECONDS) * 1000)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ how: signal === 'SIGKILL' ? 'hang' : (signal ?? `exit ${code}`), output })
    })
  })
}

/** @param report is told of each fault as it is found */
export async function fuzzParser(
  parser: string,
  seed: number,
  seconds: number,
  report: (fault: ParserFault) => void = () => undefined,
): Promise<{ executions: number; faults: ParserFault[] }> {
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'hearth-fuzz-'))
  const end = performance.now() + seconds * 1000
  const result = { executions: 0, faults: [] as ParserFault[] }
  try {
    for (let next = seed; performance.now() < end;) {
      const { how, output } = await runChild(parser, folder, next, Math.max(1, (end - performance.now()) / 1000))
      const done = /^DONE (\d+) (\d+)$/m.exec(output)
      if (how === 'exit 0' && done !== null) {
        result.executions += Number(done[2])
        next = Number(done[1])
        continue
      }
      const journal = join(folder, 'journal')
      const at = existsSync(journal) ? Number(readFileSync(journal, 'utf8')) : NaN
      if (!Number.isInteger(at)) throw new Error(`the fuzzer itself failed (${how}):\n${output}`)
      const fault = { seed: at, how, output: output.trim().slice(-2000) }
      result.faults.push(fault)
      report(fault)
      result.executions += at - next + 1
      next = at + 1
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return result
}
