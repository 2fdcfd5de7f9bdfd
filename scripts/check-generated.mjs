// `npm run check:generated`: fails when a generated file that is checked in differs from what its generator would write.
import { generators } from './generators.mjs'
import { setupOrExit } from './setup/index.mjs'
import { runTypescript } from './tsx.mjs'

await setupOrExit()
const stale = []
for (const { file, makes } of generators()) {
  if ((await runTypescript(file, ['--check'])) !== 0) stale.push(makes)
}
for (const makes of stale) console.error(`Not up to date: ${makes}. Run: npm run gen && npm run docs`)
process.exitCode = stale.length > 0 ? 1 : 0
