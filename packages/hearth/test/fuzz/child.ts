// Damages and reads files until its time is over: `child.ts PARSER FOLDER SEED SECONDS`. A parser may give a result or throw
// a HearthError (JSON's own SyntaxError where a file is JSON): whatever else happens ends the process, with the seed in
// the journal.
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { HearthError } from '@hearth/torch'
import { mutated } from './mutate.js'
import { parsers } from './parsers.js'

const [name, folder, first, seconds] = process.argv.slice(2) as [string, string, string, string]
const parser = parsers[name]!
const files = await parser.files(folder)
const journal = openSync(join(folder, 'journal'), 'w')
const path = join(folder, `damaged${name === 'gguf' ? '.gguf' : ''}`)

/** Beyond the file's size; Node's own heap grows in steps. */
const ALLOWED = 64 * 2 ** 20
const SLOWEST = 1000

async function once(seed: number): Promise<string | undefined> {
  const file = mutated(files, seed)
  writeFileSync(path, file)
  const before = process.resourceUsage().maxRSS
  const start = performance.now()
  try {
    await parser.read(path)
  } catch (error) {
    const json = name === 'tokenizer' && error instanceof SyntaxError
    if (!(error instanceof HearthError) && !json)
      return error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
  const took = performance.now() - start
  const grew = (process.resourceUsage().maxRSS - before) * 1024
  if (took > SLOWEST) return `took ${Math.round(took)} ms`
  return grew > file.length + ALLOWED ? `took ${Math.round(grew / 2 ** 20)} MiB` : undefined
}

const end = performance.now() + 1000 * Number(seconds)
let seed = Number(first)
let executions = 0
for (; performance.now() < end; seed++, executions++) {
  writeSync(journal, `${seed}`.padStart(16), 0)
  const fault = await once(seed)
  if (fault === undefined) continue
  console.log(fault)
  process.exit(3)
}
closeSync(journal)
console.log(`DONE ${seed} ${executions}`)
