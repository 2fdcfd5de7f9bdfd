// The process that makes the calls. Before each it writes down what it is about to do, so that its parent can tell which
// one ended it; it ends itself when a call throws what it should not, or when arithmetic is wrong afterwards.
import { openSync, writeSync } from 'node:fs'
import { HearthError, manualSeed, ones, scope, setMemoryLimit, setNumThreads, type Tensor } from '@hearth/torch'
import { describe, makeCase } from './calls.js'
import { makePool, Random } from './values.js'

const CALLS_PER_POOL = 100
const [journal, seedText, secondsText] = process.argv.slice(2)
const file = openSync(journal!, 'w')

function note(text: string): void {
  const line = Buffer.from(text.padEnd(2200).slice(0, 2200))
  writeSync(file, line, 0, line.length, 0)
}

/** What a call from outside may throw: an error of ours, or the language's own for a value that is not what it seems. */
function isAllowed(error: unknown): boolean {
  if (error instanceof HearthError) return true
  // A bigint among numbers, a symbol in a text, a callback that is none: the language says so before we are asked.
  return error instanceof TypeError
}

function round(seed: number): void {
  const random = new Random(seed)
  manualSeed(seed)
  scope(() => {
    note(`${seed} making tensors`)
    const pool: Tensor[] = makePool(random)
    for (let i = 0; i < CALLS_PER_POOL; i++) {
      const { name, args, run } = makeCase(random, pool)
      const text = `${seed}/${i} ${name}(${describe(args)})`
      note(text)
      try {
        scope(() => {
          run()
        })
      } catch (error) {
        if (isAllowed(error)) continue
        console.log(`WRONG ${text}: ${(error as Error).stack}`)
        process.exit(3)
      }
    }
    note(`${seed} after ${CALLS_PER_POOL} calls, freeing`)
  })
  if (scope(() => ones([3]).add(1).sum().item()) !== 6) throw new Error('arithmetic is wrong')
}

setNumThreads(2)
setMemoryLimit(512 * 2 ** 20)
const end = performance.now() + Number(secondsText) * 1000
let seed = Number(seedText)
let calls = 0
while (performance.now() < end) {
  round(seed++)
  calls += CALLS_PER_POOL
}
console.log(`DONE ${seed} ${calls}`)
