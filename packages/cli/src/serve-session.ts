// A server on a terminal: what it says while it runs, and how it ends.
import { serve, type ServeOptions, type ServerEvent } from 'hearth/serve'
import { exitCodes } from './failure.js'
import type { Terminal } from './terminal.js'

/** Serves until Ctrl+C or SIGTERM; texts in the works end first, unless it is said twice. */
export async function untilStopped(options: ServeOptions, terminal: Terminal): Promise<void> {
  const server = await serve({ ...options, report: (event) => say(event, terminal) })
  const names = server.catalog.models.map(({ name }) => name).join(', ')
  terminal.print(`Serving ${names} on ${server.url}/v1`)
  const signal = await stopSignal()
  terminal.note('Ending: what is being written is finished first. Once more ends at once.')
  process.once(signal, () => process.exit(exitCodes.interrupted))
  await server.close()
  terminal.exitCode = 0
}

const stopSignal = (): Promise<NodeJS.Signals> =>
  new Promise((resolve) => (['SIGINT', 'SIGTERM'] as const).forEach((signal) => process.once(signal, resolve)))

function say(event: ServerEvent, { note, noteColors: { red, dim } }: Terminal): void {
  if (event.kind === 'started') note(dim(`${event.model}: ready after ${event.seconds.toFixed(1)} s`))
  else if (event.kind === 'died') {
    const words = event.lastWords.trim() === '' ? '' : `\n${event.lastWords.trim()}`
    note(
      red(
        `${event.model}: its process died (${event.how}), with ${event.requests} requests; starting it again${words}`,
      ),
    )
  } else if (event.kind === 'gaveUp') note(red(`${event.model}: cannot be run: ${event.how}`))
  else {
    const { error } = event
    note(red(`${event.route}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`))
  }
}
