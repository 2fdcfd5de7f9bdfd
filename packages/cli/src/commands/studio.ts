// `hearth studio`: the web page, served to this machine alone.
import { defineCommand } from '../command.js'
import { RUNS_FOLDER } from '../locate.js'

export const studio = defineCommand({
  name: 'studio',
  summary: 'open the web page: runs as they go, and plans',
  description: [
    'Serves the Studio on this machine: curves of the runs of a folder as they go, several of them overlaid, their workers and events; the models they made; and the planner, with sliders. It needs no network, and listens on the loopback address alone. Ctrl+C ends it.',
  ],
  arguments: {},
  options: {
    runs: { kind: 'text', value: 'DIR', default: RUNS_FOLDER, description: 'folder that holds the runs' },
    models: {
      kind: 'text',
      value: 'DIR',
      default: 'models',
      description: 'folder that holds models of other origin, a Hugging Face folder each',
    },
    port: {
      kind: 'integer',
      value: 'N',
      default: 8090,
      minimum: 0,
      maximum: 65535,
      description: 'port to listen on; 0 for any that is free',
    },
    catalogue: { kind: 'text', value: 'FILE', description: 'devices of your own, or your prices: JSON or YAML' },
  },
  examples: [{ line: 'hearth studio', does: 'See the runs of ./runs on http://127.0.0.1:8090' }],
  async run({ options, terminal }) {
    const { openStudio } = await import('../studio-session.js')
    await openStudio(options, terminal)
  },
})
