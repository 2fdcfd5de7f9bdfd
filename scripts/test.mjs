// `npm test [-- FILTER...]`: sets up what is missing, runs the tests, and ends with a line `N passed, N failed`.
// Arguments go to vitest. A run in which no test was executed is a failure.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { cache, inRoot } from './setup/paths.mjs'
import { setupOrExit } from './setup/index.mjs'
import { readJson } from './setup/fingerprint.mjs'
import { runHere } from './setup/subprocess.mjs'
import { countTests, countsLine } from './test/count.mjs'

await setupOrExit()
mkdirSync(cache, { recursive: true })
const reportFile = join(cache, `tests.${process.pid}.json`)
const code = await runHere(process.execPath, [
  inRoot('node_modules/vitest/vitest.mjs'),
  'run',
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${reportFile}`,
  ...process.argv.slice(2),
])
const counts = countTests(readJson(reportFile), code)
rmSync(reportFile, { force: true })
console.log(`\n${countsLine(counts)}`)
process.exitCode = code !== 0 ? code : counts.failed > 0 ? 1 : 0
