// Compiling the native sources: one object a file (one a form for kernels), as many at a time as there are cores and memory for, and only those
// whose source or included headers (of ours) differ in content from what their object was made of.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { availableParallelism, freemem } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { collectiveFlags } from './collectives.mjs'
import { contentHash, listFiles, readJson, writeJson } from './fingerprint.mjs'
import { formsOf } from './forms.mjs'
import { inRoot, nativeBuild, nativeSources, root } from './paths.mjs'
import { preparePrelude } from './prelude.mjs'
import { SetupError, step } from './progress.mjs'
import { run } from './subprocess.mjs'

const objectFolder = join(nativeBuild, 'objects')
const recordFile = join(objectFolder, 'record.json')
const MEMORY_PER_COMPILER = 1.5 * 2 ** 30

/** Compiles what changed and returns the paths of all objects. */
export async function compileObjects(compiler, flags, libtorch) {
  mkdirSync(objectFolder, { recursive: true })
  const libtorchVersion = libtorch.version
  const sources = listFiles(nativeSources, (name) => name.endsWith('.cc')).flatMap((source) =>
    compilationsOf(source, collectiveFlags(libtorch)),
  )
  const facts = { compiler: [compiler.path, compiler.version], flags, libtorchVersion }
  const record = readJson(recordFile) ?? {}
  const isCurrent = ({ object, own }) => {
    const made = record[relative(root, object)]
    if (!made || !existsSync(object) || !made.deps.every((name) => existsSync(inRoot(name)))) return false
    return (
      contentHash(
        made.deps.map((name) => inRoot(name)),
        { ...facts, own },
      ) === made.hash
    )
  }
  const stale = sources.filter((source) => !isCurrent(source))
  if (stale.length > 0) {
    const prelude = await preparePrelude(nativeBuild, compiler, flags, libtorchVersion)
    const task = { compiler, flags, prelude, facts, record }
    const label = `compiling ${stale.length} of ${sources.length} native files against libtorch ${libtorchVersion}`
    await step(label, () => compileAll(stale, task))
  }
  removeOthers(sources)
  return sources.map(({ object }) => object)
}

/** The objects that a source becomes, each with flags of its own. */
function compilationsOf(source, forCollectives) {
  const name = relative(nativeSources, source).replaceAll('/', '--')
  const further = name.startsWith('comm--') ? forCollectives : []
  return formsOf(source).map(({ form, flags }) => ({
    source,
    object: join(objectFolder, form === undefined ? `${name}.o` : `${name}.${form}.o`),
    own: [...flags, ...further],
    // libtorch's headers stay out of kernels: their inline functions must not be compiled for one processor alone.
    wantsPrelude: form === undefined,
  }))
}

// The largest first, so that no long one is left for the end with idle cores beside it.
async function compileAll(stale, task) {
  const queue = stale.toSorted((a, b) => statSync(b.source).size - statSync(a.source).size)
  const failures = []
  const worker = async () => {
    while (queue.length > 0 && failures.length === 0) {
      const failure = await compileOne(queue.shift(), task)
      if (failure) failures.push(failure)
    }
  }
  const byMemory = Math.floor(freemem() / MEMORY_PER_COMPILER)
  const workers = Math.max(1, Math.min(availableParallelism(), byMemory, queue.length))
  await Promise.all(Array.from({ length: workers }, worker))
  if (failures.length > 0) throw failures[0]
}

async function compileOne({ source, object, own, wantsPrelude }, { compiler, flags, prelude, facts, record }) {
  const partial = `${object}.${process.pid}.tmp`
  const listing = `${partial}.d`
  const start = Date.now()
  try {
    const all = [...flags, ...own, ...(wantsPrelude ? prelude : [])]
    const args = [...all, '-MMD', '-MF', listing, '-c', relative(root, source), '-o', partial]
    const { code, output } = await run(compiler.path, args)
    if (code !== 0) return compileError(source, compiler, output)
    const deps = readDependencies(listing)
    const files = deps.map((name) => inRoot(name))
    renameSync(partial, object)
    // A file saved while the compiler ran may or may not be in the object: leave that one for the next time.
    const settled = files.every((file) => statSync(file).mtimeMs < start)
    record[relative(root, object)] = { deps, hash: settled ? contentHash(files, { ...facts, own }) : '' }
    writeJson(recordFile, record)
    return undefined
  } finally {
    rmSync(partial, { force: true })
    rmSync(listing, { force: true })
  }
}

// `object: file file \` as make reads it; spaces inside names are escaped. Ours alone, relative to the root.
function readDependencies(listing) {
  const text = readFileSync(listing, 'utf8').replaceAll('\\\n', ' ')
  const names = text.slice(text.indexOf(': ') + 2).match(/(?:\\ |[^\s])+/g) ?? []
  return names
    .map((name) => relative(root, resolve(root, name.replaceAll('\\ ', ' '))))
    .filter((name) => !name.startsWith('..') && !name.startsWith(relative(root, nativeBuild)))
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
  const kept = new Set([...sources.map(({ object }) => object), recordFile])
  for (const file of listFiles(objectFolder)) if (!kept.has(file)) rmSync(file, { force: true })
}
