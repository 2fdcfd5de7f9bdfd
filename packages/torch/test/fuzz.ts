// Fuzzes the boundary between JavaScript and libtorch: random calls with random, mostly wrong arguments, in child
// processes. A call may give a result or throw a HearthError or TypeError; whatever ends the process is a fault.
//   npm run fuzz -- --seed 1 --seconds 60
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

/** A call that hangs for so long counts as a fault. */
const PATIENCE_SECONDS = 60

/** A call that takes all memory fails, instead of having the system end something else: 8 GiB, where there are limits. */
const LIMITED = 'ulimit -d 8388608 2>/dev/null; exec "$0" "$@"'

export interface Fault {
  /** `SIGSEGV`, `exit 3`, `hang`. */
  how: string
  /** The call that was under way, with its seed. */
  call: string
  output: string
}

export interface FuzzResult {
  calls: number
  faults: Fault[]
}

interface Ended {
  how: string
  output: string
}

function runChild(journal: string, seed: number, seconds: number): Promise<Ended> {
  const script = fileURLToPath(new URL('fuzz/child.ts', import.meta.url))
  const command = [process.execPath, '--import', 'tsx', script, journal, String(seed), String(seconds)]
  const child = spawn('sh', ['-c', LIMITED, ...command], { stdio: ['ignore', 'pipe', 'pipe'] })
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

/**
 * Fuzzes for so many seconds, beginning at a seed; after a fault it goes on behind it.
 * @param report is told of each fault as it is found
 */
export async function fuzz(
  seed: number,
  seconds: number,
  report: (fault: Fault) => void = () => undefined,
): Promise<FuzzResult> {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-fuzz-'))
  const journal = join(folder, 'journal')
  const end = performance.now() + seconds * 1000
  const result: FuzzResult = { calls: 0, faults: [] }
  try {
    for (let next = seed; performance.now() < end;) {
      const { how, output } = await runChild(journal, next, Math.max(1, (end - performance.now()) / 1000))
      const done = /^DONE (\d+) (\d+)$/m.exec(output)
      if (how === 'exit 0' && done !== null) {
        result.calls += Number(done[2])
        next = Number(done[1])
        continue
      }
      const call = existsSync(journal) ? readFileSync(journal, 'utf8').trim() : ''
      if (call === '') throw new Error(`the fuzzer itself failed (${how}):\n${output}`)
      const fault = { how, call, output: output.trim().slice(-2000) }
      result.faults.push(fault)
      report(fault)
      next = Number.parseInt(call, 10) + 1
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return result
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: { seed: { type: 'string', default: '1' }, seconds: { type: 'string', default: '60' } },
  })
  const { calls, faults } = await fuzz(Number(values.seed), Number(values.seconds), ({ how, call, output }) =>
    console.log(`${how}: ${call}\n  ${output.split('\n').slice(0, 6).join('\n  ')}`),
  )
  console.log(`${calls} calls and ${faults.length} faults`)
  process.exitCode = faults.length > 0 ? 1 : 0
}
