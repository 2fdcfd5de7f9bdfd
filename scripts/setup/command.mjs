// The `hearth` command in node_modules/.bin. npm makes its link while installing, when the built file does not exist yet,
// and the TypeScript compiler writes files that are not executable: both are put right after the build.
import { chmodSync, mkdirSync, readlinkSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { commandFile, inRoot } from './paths.mjs'
import { SetupError } from './progress.mjs'

const link = inRoot('node_modules/.bin/hearth')
const target = '../@hearth/cli/dist/main.js'

export function commandLinked() {
  const file = statSync(commandFile, { throwIfNoEntry: false })
  return file !== undefined && (file.mode & 0o111) === 0o111 && currentTarget() === target
}

export function linkCommand() {
  if (commandLinked()) return
  const file = statSync(commandFile, { throwIfNoEntry: false })
  if (!file) {
    throw new SetupError('the build left no packages/cli/dist/main.js.', {
      remedy: 'npx tsc -b --clean && rm -rf packages/*/dist recipes/dist && npm run setup',
    })
  }
  chmodSync(commandFile, file.mode | 0o111)
  if (currentTarget() === target) return
  mkdirSync(dirname(link), { recursive: true })
  rmSync(link, { force: true })
  symlinkSync(target, link)
}

function currentTarget() {
  try {
    return readlinkSync(link)
  } catch {
    return undefined
  }
}
