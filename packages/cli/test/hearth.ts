// Runs the built command the way a terminal does: another process, its own streams and exit code.
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))
/** The recorded models of fixtures/, by name. */
export const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../../fixtures/models/${name}`, import.meta.url))

export interface Finished {
  /** Null when a signal ended it. */
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface Started {
  child: ChildProcess
  /** What stderr has shown so far. */
  shown: () => string
  finished: Promise<Finished>
}

export interface HearthOptions {
  cwd?: string
  input?: string
  env?: NodeJS.ProcessEnv
}

/** Starts `hearth ARGS`. */
export function startHearth(args: readonly string[], { cwd, input, env }: HearthOptions = {}): Started {
  if (!existsSync(MAIN)) throw new Error(`${MAIN} is missing: npm run build`)
  const child = spawn(process.execPath, [MAIN, ...args], { cwd, env: { ...process.env, NO_COLOR: '', ...env } })
  const result: Finished = { code: null, signal: null, stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (result.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (result.stderr += text))
  child.stdin.on('error', () => undefined)
  child.stdin.end(input ?? '')
  const finished = new Promise<Finished>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ ...result, code, signal }))
  })
  return { child, shown: () => result.stderr, finished }
}

/** Runs `hearth ARGS` to its end. */
export const hearth = (args: readonly string[], options?: HearthOptions): Promise<Finished> =>
  startHearth(args, options).finished

/** Resolves when stderr shows the pattern. */
export async function shows({ shown, finished }: Started, pattern: RegExp): Promise<void> {
  const end: { seen?: true } = {}
  void finished.then(() => (end.seen = true))
  while (!pattern.test(shown())) {
    if (end.seen) throw new Error(`ended without ${String(pattern)}:\n${shown()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
