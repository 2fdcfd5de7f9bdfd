// `npm run docs`: writes the generated pages of the documentation. `npm run docs -- --check` only compares.
import { generators } from './generators.mjs'
import { setupOrExit } from './setup/index.mjs'
import { runTypescript } from './tsx.mjs'

await setupOrExit()
for (const { file, makes } of generators()) {
  console.log(`Writing ${makes}`)
  const code = await runTypescript(file, process.argv.slice(2))
  if (code !== 0) process.exit(code)
}
