// Every example is run the way its first lines say, and shows what it promises. They build on one another, so in order.
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const names = readdirSync(`${root}/examples`).filter((name) => name.endsWith('.ts'))

/** What each example shows when it works. */
const shows: Record<string, RegExp[]> = {
  '01-tensors.ts': [/a · a = \[ \[ 7, 10 \], \[ 15, 22 \] \]/, /gradient of the sum of squares: \[ 2, -4, 6 \]/],
  '02-train-a-tiny-model.ts': [/step 150: loss 0\.\d+/],
  '03-resume.ts': [/stopped after step 10 of 24/, /same bits: true/],
  '04-generate.ts': [/Did gyre and gimble in the wabe/, /seed 7 again gives the same: true; seed 8: false/],
  '05-load-a-hugging-face-folder.ts': [/and so on: 51 13 82 53 69 77 81 58/, /120872 bytes became \d{5}$/m],
  '06-lose-a-worker.ts': [/worker 0 was lost: SIGKILL/, /step \d+ was done all the same/, /same bits: true/],
}

async function run(name: string): Promise<string> {
  const tsx = `${root}/node_modules/tsx/dist/cli.mjs`
  const { stdout } = await promisify(execFile)(process.execPath, [tsx, `examples/${name}`], { cwd: root })
  return stdout
}

describe('the examples', () => {
  test('are the ones that are checked here, each under 80 lines and with the line that runs it', () => {
    expect(names).toEqual(Object.keys(shows))
    for (const name of names) {
      const text = readFileSync(`${root}/examples/${name}`, 'utf8')
      expect(text.split('\n').length, name).toBeLessThan(80)
      expect(text, name).toContain(`// Run it: npx tsx examples/${name}`)
    }
  })

  test.each(names)('%s works', { timeout: 180_000 }, async (name) => {
    const output = await run(name)
    for (const pattern of shows[name]!) expect(output).toMatch(pattern)
  })
})
