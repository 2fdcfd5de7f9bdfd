// What a person sees while Hearth sets itself up: one line a step with its seconds, and one message when a step fails.
// It prints nothing for steps that had nothing to do, so a start with everything in place stays silent.

/** A set-up step that could not be done: what went wrong, the end of the tool's output, and the command that helps. */
export class SetupError extends Error {
  /** @param {string} message @param {{ output?: string, remedy?: string }} [details] */
  constructor(message, { output, remedy } = {}) {
    super(message)
    this.name = 'SetupError'
    this.output = output
    this.remedy = remedy
  }
}

const interactive = process.stderr.isTTY === true
const active = new Set()

/** Runs one step under a line that says what is being done, and then how long it took. Steps may run side by side. */
export async function step(label, work) {
  const start = performance.now()
  const seconds = () => `${((performance.now() - start) / 1000).toFixed(1)} s`
  active.add(label)
  if (interactive) print('')
  else print(`  · ${label} …\n`)
  try {
    const result = await work()
    active.delete(label)
    print(`  ✓ ${label}, ${seconds()}\n`)
    return result
  } catch (error) {
    active.delete(label)
    print(`  ✗ ${label}, ${seconds()}\n`)
    throw error
  }
}

// On a terminal the last line shows what is going on; what is printed goes above it.
function print(text) {
  const status = active.size > 0 ? `  · ${[...active].join(', ')} …`.slice(0, (process.stderr.columns || 80) - 1) : ''
  process.stderr.write(interactive ? `\r\x1b[K${text}${status}` : text)
}

export function note(text) {
  print(`${text}\n`)
}

export function warn(text) {
  print(`  ! ${text}\n`)
}

/** Prints a failure: the message, the tool's last lines, the remedy. Errors that are not ours keep their stack. */
export function report(error) {
  if (!(error instanceof SetupError)) {
    note(`\nSet-up failed in a way it should not: ${error?.stack ?? error}`)
    return
  }
  note(`\nSet-up stopped: ${error.message}`)
  if (error.output) note(`\n${indent(error.output)}`)
  if (error.remedy) note(`\nWhat helps:\n${indent(error.remedy)}`)
}

const indent = (text) => text.trimEnd().replace(/^/gm, '    ')
