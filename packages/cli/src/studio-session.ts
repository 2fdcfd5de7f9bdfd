// The Studio on a terminal: where it is, and how it ends.
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { catalogue, readCatalogue, type Hardware } from 'hearth/plan'
import { serve, type ServerEvent } from 'hearth/serve'
import { studio } from 'hearth/studio'
import { THIS_MACHINE, measureThisMachine } from './planning/index.js'
import type { Terminal } from './terminal.js'

export interface StudioOptions {
  runs: string
  models: string
  port: number
  catalogue: string | undefined
}

/** Serves the page until Ctrl+C or SIGTERM. */
export async function openStudio(options: StudioOptions, terminal: Terminal): Promise<void> {
  const known = options.catalogue === undefined ? catalogue : readCatalogue(options.catalogue)
  terminal.note('Measuring this machine …')
  const hardware: Readonly<Record<string, Hardware>> = { [THIS_MACHINE]: measureThisMachine(), ...known }
  const page = join(dirname(fileURLToPath(import.meta.resolve('@hearth/studio/package.json'))), 'dist', 'page')
  const server = await serve({
    models: [],
    port: options.port,
    drainSeconds: 0,
    plugins: [studio({ page, runs: resolve(options.runs), models: resolve(options.models), hardware: () => hardware })],
    report: (event) => say(event, terminal),
  })
  terminal.print(`The Studio is on ${server.url}`)
  await new Promise((end) => (['SIGINT', 'SIGTERM'] as const).forEach((signal) => process.once(signal, end)))
  await server.close()
  terminal.exitCode = 0
}

function say(event: ServerEvent, { note, noteColors: { red } }: Terminal): void {
  if (event.kind !== 'error') return
  const { route, error } = event
  note(red(`${route}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`))
}
