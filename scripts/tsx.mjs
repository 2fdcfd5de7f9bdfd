// Running a TypeScript file of the repository directly, for tools that need no build of their own.
import { inRoot } from './setup/paths.mjs'
import { runHere } from './setup/subprocess.mjs'

/** Runs `file` (relative to the root) on this terminal and gives its exit code. */
export function runTypescript(file, args = []) {
  return runHere(process.execPath, [inRoot('node_modules/tsx/dist/cli.mjs'), inRoot(file), ...args])
}
