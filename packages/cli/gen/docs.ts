// Writes docs/cli from the commands and the schema of the configuration: `npm run docs`. With --check it only compares,
// and fails when a page is not what it would write.
import { configFields } from 'hearth/train'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { commandPage, commands, configurationPage, indexPage } from '../src/index.js'

const folder = fileURLToPath(new URL('../../../docs/cli/', import.meta.url))

const pages = new Map([
  ['README.md', indexPage(commands)],
  ['configuration.md', configurationPage(configFields())],
  ...commands.map((command) => [`${command.name}.md`, commandPage(command)] as const),
])

mkdirSync(folder, { recursive: true })
const present = readdirSync(folder)
const left = present.filter((name) => !pages.has(name))
const stale = [...pages].filter(
  ([name, text]) => !present.includes(name) || readFileSync(folder + name, 'utf8') !== text,
)

if (process.argv.includes('--check')) {
  for (const name of [...left, ...stale.map(([name]) => name)]) console.error(`docs/cli/${name} is not up to date`)
  process.exitCode = left.length + stale.length > 0 ? 1 : 0
} else {
  for (const name of left) rmSync(folder + name)
  for (const [name, text] of stale) writeFileSync(folder + name, text)
  console.log(`docs/cli: ${pages.size} pages, ${stale.length} written, ${left.length} removed`)
}
