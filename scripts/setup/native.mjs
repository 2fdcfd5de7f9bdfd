// The native module: every .cc of packages/torch/native, compiled to one object each, only where it or a header of ours
// that it includes has changed, and linked to packages/torch/build/hearth_torch.node. What was found and used is left
// beside it in config.json, for `hearth doctor`.
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { collectiveFlags, hasGloo } from './collectives.mjs'
import { compileObjects } from './compile.mjs'
import { inspectCompiler } from './compiler.mjs'
import { contentHash, listFiles, readJson, writeJson } from './fingerprint.mjs'
import { compileFlags, linkFlags } from './flags.mjs'
import { formsOf } from './forms.mjs'
import { standInForIdle } from './idle-libraries.mjs'
import { nativeBuild, nativeModule, nativeSources } from './paths.mjs'
import { SetupError, step } from './progress.mjs'
import { lastLines, run } from './subprocess.mjs'

const stampFile = join(nativeBuild, 'stamp.json')
const configFile = join(nativeBuild, 'config.json')

/** Whether the module there was made from these sources, with these flags, for this libtorch. */
export function nativeCurrent(libtorch) {
  return existsSync(nativeModule) && readJson(stampFile)?.key === nativeKey(libtorch)
}

/** Compiles and links what changed. @param {{ libtorch: object, blas: object, compiler: string }} system */
export async function buildNative({ libtorch, blas, compiler }) {
  if (!nativeCurrent(libtorch)) {
    const key = nativeKey(libtorch)
    const chosen = await inspectCompiler(compiler)
    mkdirSync(nativeBuild, { recursive: true })
    rmSync(stampFile, { force: true })
    const objects = await compileObjects(chosen, compileFlags(libtorch, chosen), libtorch)
    await standInForIdle(libtorch, chosen)
    await step('linking the native module', () => link(chosen, objects, libtorch))
    writeJson(stampFile, { key })
    writeJson(configFile, describe(libtorch, blas, chosen))
  }
}

/** Brings config.json up to date when another BLAS was chosen since the module was built. */
export function recordBlas(blas) {
  const config = readJson(configFile)
  if (config && config.blas?.library !== blas.library) writeJson(configFile, { ...config, blas: blasFacts(blas) })
}

function nativeKey(libtorch) {
  const facts = {
    flags: [compileFlags(libtorch), linkFlags(libtorch), formsOf('.simd.cc'), collectiveFlags(libtorch)],
    libtorch: [libtorch.library, libtorch.version],
    machine: [process.platform, process.arch],
  }
  return contentHash(listFiles(nativeSources, isSource), facts)
}

const isSource = (name) => /\.(cc|h|inc)$/.test(name)
const blasFacts = ({ library, fast }) => ({ library, fast })

function describe(libtorch, blas, compiler) {
  const { origin, include, library, version, cuda, cxx11Abi } = libtorch
  return {
    libtorch: { origin, include, library, version, cuda, cxx11Abi },
    blas: blasFacts(blas),
    collectives: hasGloo(libtorch),
    compiler: { ...compiler, openmp: compileFlags(libtorch, compiler).includes('-fopenmp') },
  }
}

// The module is linked under another name and then renamed: a process that has the old one open keeps it whole.
async function link(compiler, objects, libtorch) {
  const partial = `${nativeModule}.${process.pid}.tmp.node`
  try {
    const { code, output } = await run(compiler.path, [...objects, ...linkFlags(libtorch, compiler), '-o', partial])
    if (code !== 0) throw new SetupError('the native module does not link.', { output: lastLines(output), remedy })
    await tryToLoad(partial)
    renameSync(partial, nativeModule)
  } finally {
    rmSync(partial, { force: true })
  }
}

// A missing symbol or library shows here and not in the middle of somebody's work.
async function tryToLoad(file) {
  const script = 'process.dlopen({ exports: {} }, process.argv[1])'
  const { code, output } = await run(process.execPath, ['-e', script, file])
  if (code !== 0)
    throw new SetupError('the native module was built but does not load.', { output: lastLines(output), remedy })
}

const remedy =
  'If libtorch was changed or damaged, install it again. Then start from nothing: rm -rf packages/torch/build && npm run setup'
