// `npm start`: sets up what is missing, then runs the quickstart; `npm start -- ARGS` runs `hearth ARGS`.
// The command runs in this process, and package.json starts this process with `exec` in place of npm's shell, so input,
// exit code and signals (SIGTERM to npm too) are the command's own.
import { pathToFileURL } from 'node:url'
import { setupOrExit } from './setup/index.mjs'
import { commandFile } from './setup/paths.mjs'

const REPEAT_WINDOW_MS = 250

await setupOrExit()
goBackToTheUser()
ignoreRepeatedSignals()
const args = process.argv.slice(2)
process.argv = [process.argv[0], commandFile, ...(args.length > 0 ? args : ['quickstart'])]
await import(pathToFileURL(commandFile).href)

// npm starts scripts at the repository's root and says where it was called: that is where relative paths begin. In the
// environment of another script (npm test, say) the name stands for the folder of that one.
function goBackToTheUser() {
  const { INIT_CWD, npm_lifecycle_event } = process.env
  if (INIT_CWD !== undefined && npm_lifecycle_event === 'start') process.chdir(INIT_CWD)
}

// The terminal sends Ctrl+C to every process in front, and npm sends it to its child once more. A second one means
// "stop at once" to the command, so the repetition, which follows within milliseconds, must not reach it.
function ignoreRepeatedSignals() {
  const emit = process.emit
  const last = new Map()
  process.emit = (event, ...details) => {
    if (event === 'SIGINT' || event === 'SIGTERM') {
      const now = performance.now()
      const repeated = now - (last.get(event) ?? -Infinity) < REPEAT_WINDOW_MS
      if (repeated) return true
      last.set(event, now)
    }
    return emit.call(process, event, ...details)
  }
}
