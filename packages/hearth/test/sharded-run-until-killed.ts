// A run over ranks that kills itself after some steps: `sharded-run-until-killed.ts RUN TEXTS`.
import { startRun } from '../src/train/index.js'
import { tinyConfig } from './sharded-config.js'

const [dir, texts] = process.argv.slice(2) as [string, string]
await startRun(tinyConfig('gone', texts), {
  dir,
  ranks: { ranks: 2, sharding: 'everything', offload: 'memory' },
  report: (event) => {
    if (event.kind === 'step' && event.step.number === 6) process.kill(process.pid, 'SIGKILL')
  },
})
