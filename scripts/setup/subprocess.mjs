// Running other programs: output collected, never a shell, no input. Nothing here knows what is run.
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'
import { root } from './paths.mjs'

const KEPT_OUTPUT = 256 * 1024

/**
 * Runs a program and collects what it prints (stdout and stderr together, the last 256 KiB).
 * A program that cannot be started, or that a signal ends, counts as exit code 127 or 128.
 * @returns {Promise<{ code: number, output: string }>}
 */
export function run(command, args, { cwd = root, env = process.env } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const collect = (chunk) => {
      output = (output + chunk).slice(-KEPT_OUTPUT)
    }
    child.stdout.setEncoding('utf8').on('data', collect)
    child.stderr.setEncoding('utf8').on('data', collect)
    child.on('error', (error) => resolve({ code: 127, output: `${output}${error.message}\n` }))
    child.on('close', (code, signal) => {
      resolve(code === null ? { code: 128, output: `${output}ended by ${signal}\n` } : { code, output })
    })
  })
}

/** Runs a program on this terminal and gives its exit code; what a signal ended counts as 128 + the signal's number. */
export function runHere(command, args, { cwd = root, env = process.env } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, stdio: 'inherit' })
    // The terminal sends Ctrl+C to the program as well: we wait for its own ending instead of dying before it.
    const wait = () => {}
    const pass = (signal) => child.kill(signal)
    process.on('SIGINT', wait).on('SIGTERM', pass)
    const finish = (code) => {
      process.off('SIGINT', wait).off('SIGTERM', pass)
      resolve(code)
    }
    child.on('error', () => finish(127))
    child.on('close', (code, signal) => finish(code ?? 128 + (signal === 'SIGINT' ? 2 : 15)))
  })
}

/** The last lines of a program's output. */
export function lastLines(output, count = 25) {
  return output.trimEnd().split('\n').slice(-count).join('\n')
}

/** The full path of a program, found in PATH as a shell would; undefined when there is none. */
export function findProgram(name) {
  const folders = isAbsolute(name) ? [''] : (process.env.PATH ?? '').split(delimiter).filter(Boolean)
  return folders.map((folder) => join(folder, name)).find(isExecutable)
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
