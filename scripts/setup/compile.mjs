// Compiling the native sources: one object a file, as many at a time as there are cores and memory for, and only those
// whose source or included headers (of ours) differ in content from what their object was made of.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { availableParallelism, freemem } from 'node:os'
import { join, relative } from 'node:path'
import { contentHash, listFiles, readJson, writeJson } from './fingerprint.mjs'
import { nativeBuild, nativeSources, root } from './paths.mjs'
import { preparePrelude } from './prelude.mjs'
import { SetupError, step } from './progress.mjs'
import { run } from './subprocess.mjs'

const objectFolder = join(nativeBuild, 'objects')
const recordFile = join(objectFolder, 'record.json')
const MEMORY_PER_COMPILER = 1.5 * 2 ** 30

/** Compiles what changed and returns the paths of all objects. */
export async function compileObjects(compiler, flags, libtorchVersion) {
  mkdirSync(objectFolder, { recursive: true })
  const sources = listFiles(nativeSources, (name) => name.endsWith('.cc'))
  const facts = { compiler: [compiler.path, compiler.version], flags, libtorchVersion }
  const record = readJson(recordFile) ?? {}
  const isCurrent = (source) => {
    const made = record[relative(root, source)]
    return (
      made && existsSync(objectOf(source)) && made.deps.every(existsSync) && contentHash(made.deps, facts) === made.hash
    )
  }
  const stale = sources.filter((source) => !isCurrent(source))
  if (stale.length > 0) {
    const prelude = await preparePrelude(nativeBuild, compiler, flags, libtorchVersion)
    const task = { compiler, flags: [...flags, ...prelude], facts, record }
    const label = `compiling ${stale.length} of ${sources.length} native files against libtorch ${libtorchVersion}`
    await step(label, () => compileAll(stale, task))
  }
  removeOthers(sources)
  return sources.map(objectOf)
}

const objectOf = (source) => join(objectFolder, `${relative(nativeSources, source).replaceAll('/', '--')}.o`)

// The largest first, so that no long one is left for the end with idle cores beside it.
async function compileAll(stale, task) {
  const queue = stale.toSorted((a, b) => statSync(b).size - statSync(a).size)
  const failures = []
  const worker = async () => {
    while (queue.length > 0 && failures.length === 0) {
      const source = queue.shift()
      const failure = await compileOne(source, task)
      if (failure) failures.push(failure)
    }
  }
  const byMemory = Math.floor(freemem() / MEMORY_PER_COMPILER)
  const workers = Math.max(1, Math.min(availableParallelism(), byMemory, queue.length))
  await Promise.all(Array.from({ length: workers }, worker))
  if (failures.length > 0) throw failures[0]
}

async function compileOne(source, { compiler, flags, facts, record }) {
  const object = objectOf(source)
  const partial = `${object}.${process.pid}.tmp`
  const listing = `${partial}.d`
  const start = Date.now()
  try {
    const args = [...flags, '-MMD', '-MF', listing, '-c', source, '-o', partial]
    const { code, output } = await run(compiler.path, args)
    if (code !== 0) return compileError(source, compiler, output)
    const deps = readDependencies(listing)
    renameSync(partial, object)
    // A file saved while the compiler ran may or may not be in the object: leave that one for the next time.
    const settled = deps.every((file) => statSync(file).mtimeMs < start)
    record[relative(root, source)] = { deps, hash: settled ? contentHash(deps, facts) : '' }
    writeJson(recordFile, record)
    return undefined
  } finally {
    rmSync(partial, { force: true })
    rmSync(listing, { force: true })
  }
}

// `object: file file \` as make reads it; spaces inside names are escaped.
function readDependencies(listing) {
  const text = readFileSync(listing, 'utf8').replaceAll('\\\n', ' ')
  const names = text.slice(text.indexOf(': ') + 2).match(/(?:\\ |[^\s])+/g) ?? []
  return names
    .map((name) => name.replaceAll('\\ ', ' '))
    .filter((name) => name.startsWith(root) && !name.startsWith(nativeBuild))
}

function compileError(source, compiler, output) {
  const lines = output.trimEnd().split('\n')
  const first = Math.max(
    0,
    lines.findIndex((line) => /\b(fatal )?error:/.test(line)),
  )
  const outOfMemory = /Killed signal|cannot allocate memory|out of memory/i.test(output)
  return new SetupError(`${relative(root, source)} does not compile (${compiler.version}).`, {
    output: lines.slice(first, first + 25).join('\n'),
    remedy: outOfMemory
      ? 'The compiler ran out of memory: it needs about 1.5 GB. Close other programs, or add swap, and run: npm run setup'
      : 'If the error is in a header of libtorch, the compiler may be too old for it: Hearth is built with GCC 12 and newer. ' +
        'Another compiler can be named: CXX=clang++ npm run setup',
  })
}

// Objects of sources that are gone, and what an interrupted compiler left.
function removeOthers(sources) {
  const kept = new Set([...sources.map(objectOf), recordFile])
  for (const file of listFiles(objectFolder)) if (!kept.has(file)) rmSync(file, { force: true })
}
