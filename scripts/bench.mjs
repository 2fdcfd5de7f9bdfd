// `npm run bench -- NAME [ARGS...]` runs bench/NAME.bench.ts, or bench/FOLDER/NAME.bench.ts; without a name all of them,
// one after the other, so that they do not disturb each other's times, with one table at the end. `npm run bench -- --list`
// says what there is.
import { inRoot } from './setup/paths.mjs'
import { listFiles } from './setup/fingerprint.mjs'
import { setupOrExit } from './setup/index.mjs'
import { runTypescript } from './tsx.mjs'

const SUFFIX = '.bench.ts'
const folder = inRoot('bench')
const names = listFiles(folder, (name) => name.endsWith(SUFFIX)).map((file) =>
  file.slice(folder.length + 1, -SUFFIX.length),
)
const [wanted, ...args] = process.argv.slice(2)
const asked = names.find((name) => name === wanted || name.endsWith(`/${wanted}`)) ?? wanted

if (asked === '--list') {
  for (const name of names) console.log(name)
} else if (asked !== undefined && !names.includes(asked)) {
  console.error(`There is no benchmark '${asked}'. There are: ${names.join(', ') || 'none yet'}`)
  process.exitCode = 1
} else {
  await setupOrExit()
  const started = Date.now()
  for (const name of asked === undefined ? names : [asked]) {
    console.log(`== ${name}`)
    const code = await runTypescript(`bench/${name}${SUFFIX}`, args)
    if (code !== 0) process.exitCode = code
  }
  if (asked === undefined) await runTypescript('bench/summary.ts', [String(started)])
}
