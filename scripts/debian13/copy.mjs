// Brings the repository's files, as git knows them (tracked, and new ones that are not ignored), into another folder.
// Files keep their times and unchanged ones are left alone, so a second build there compiles only what changed.
import { cpSync, existsSync, mkdirSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { readJson, writeJson } from '../setup/fingerprint.mjs'
import { inRoot } from '../setup/paths.mjs'
import { SetupError } from '../setup/progress.mjs'
import { run } from '../setup/subprocess.mjs'

/** Makes `folder` hold the repository's files as they are now; what else is there (node_modules, builds) stays. */
export async function copyRepository(folder) {
  const files = await repositoryFiles()
  const record = join(folder, '.cache/copied.json')
  const gone = (readJson(record) ?? []).filter((file) => !files.includes(file))
  for (const file of gone) rmSync(join(folder, file), { force: true })
  for (const file of files) copyChanged(inRoot(file), join(folder, file))
  writeJson(record, files)
}

async function repositoryFiles() {
  const args = ['-c', 'core.quotePath=off', 'ls-files', '--cached', '--others', '--exclude-standard']
  const { code, output } = await run('git', args)
  if (code !== 0) throw new SetupError('git cannot list the files of this repository.', { output })
  return [...new Set(output.split('\n'))].filter((file) => file && existsSync(inRoot(file)))
}

function copyChanged(from, to) {
  const source = statSync(from)
  const copy = statSync(to, { throwIfNoEntry: false })
  if (copy && copy.size === source.size && Math.abs(copy.mtimeMs - source.mtimeMs) < 1000) return
  mkdirSync(dirname(to), { recursive: true })
  cpSync(from, to, { preserveTimestamps: true })
}
