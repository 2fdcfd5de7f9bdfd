// Deciding whether files changed since the last time: by content where that must be exact (native sources),
// by size and time of change where there are many (TypeScript sources, which the compiler checks again itself).
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { root } from './paths.mjs'

/** All files under a folder, sorted; an absent folder has none. */
export function listFiles(folder, accept = () => true) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && accept(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort()
}

/** A hash of the contents and the names (relative to the root) of files, and of further facts. */
export function contentHash(files, facts = {}) {
  const hash = createHash('sha256').update(JSON.stringify(facts))
  for (const file of files) hash.update(`\0${relative(root, file)}\0`).update(readFileSync(file))
  return hash.digest('hex')
}

/** A hash of the names, sizes and times of change of files; absent files count as absent. */
export function changeHash(files) {
  const facts = files.map((file) => {
    const stat = statSync(file, { throwIfNoEntry: false })
    return [relative(root, file), stat?.size, stat?.mtimeMs]
  })
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex')
}

/** Reads a JSON file that a script of ours wrote; undefined when it is absent or damaged. */
export function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

/** Writes a JSON file so that a reader sees the old one or the new one, never a part. */
export function writeJson(file, value) {
  mkdirSync(dirname(file), { recursive: true })
  const partial = `${file}.${process.pid}.tmp`
  writeFileSync(partial, `${JSON.stringify(value, null, 2)}\n`)
  renameSync(partial, file)
}
