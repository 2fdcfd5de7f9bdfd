// What must be on the machine: libtorch, a C++ compiler, a fast BLAS. It looks, installs what is missing where it may,
// and otherwise stops with the command that a person must run.
import { aptCandidate, aptCommand, aptInstall, hasApt } from './apt.mjs'
import { chooseCommand, FAST_BLAS_PACKAGE, inspectBlas } from './blas.mjs'
import { GLOO_PACKAGE, wantsGlooPackage } from './collectives.mjs'
import { findCompiler } from './compiler.mjs'
import { downloadCommand, findLibtorch, findOldLibtorch, isRecent } from './libtorch.mjs'
import { SetupError, warn } from './progress.mjs'

/** What is there now. Every field may be missing. */
export function inspectSystem() {
  const libtorch = findLibtorch()
  return { libtorch, compiler: findCompiler(), blas: libtorch && inspectBlas(libtorch) }
}

/** Installs what is missing and returns what is there then: libtorch and a compiler for certain. */
export async function provideSystem() {
  const before = inspectSystem()
  const missing = missingPackages(before)
  const isUseful = () => before.libtorch || hasRecentLibtorch()
  if (missing.length > 0) await aptInstall(missing, isUseful).catch((error) => tolerate(error, before))
  const after = inspectSystem()
  requireAll(after)
  return after
}

// Without a fast BLAS Hearth is slow, without Gloo it trains in one process, without the others it does not run at all.
function tolerate(error, { libtorch, compiler }) {
  if (!libtorch || !compiler) throw error
}

function missingPackages({ libtorch, compiler, blas }) {
  const slow = !libtorch || (!blas.fast && !blas.installed)
  return [
    ...(libtorch ? [] : ['libtorch-dev']),
    ...(slow ? [FAST_BLAS_PACKAGE] : []),
    ...(libtorch && !wantsGlooPackage(libtorch) ? [] : [GLOO_PACKAGE]),
    ...(compiler ? [] : ['g++']),
  ]
}

// Old releases of Ubuntu have a libtorch too old for us: installing it would help nobody.
async function hasRecentLibtorch() {
  const version = await aptCandidate('libtorch-dev')
  return version !== undefined && isRecent(version)
}

function requireAll({ libtorch, compiler }) {
  if (!libtorch) throw missingLibtorch(compiler)
  if (compiler) return
  const remedy =
    process.platform === 'darwin' ? 'xcode-select --install' : 'Install g++ or clang++ with your package manager.'
  throw new SetupError('There is no C++ compiler.', { remedy: hasApt() ? aptCommand(['g++']) : remedy })
}

function missingLibtorch(compiler) {
  const old = findOldLibtorch()
  const message = old
    ? `the libtorch of this system (${old.library}) is ${old.version}; Hearth needs 1.13 or newer.`
    : 'libtorch, the tensor library that Hearth runs on, is not on this machine.'
  const packages = ['libtorch-dev', FAST_BLAS_PACKAGE, GLOO_PACKAGE, ...(compiler ? [] : ['g++'])]
  const apt = hasApt() && !old ? `${aptCommand(packages)}\n\nor, without the system’s packages:\n` : ''
  return new SetupError(message, { remedy: `${apt}${downloadCommand()}` })
}

/** Warns, once a set-up, when fp32 matrix products would be slow. */
export function warnOfSlowBlas({ libtorch, blas }) {
  if (blas.fast) return
  const remedy = blas.installed ? chooseCommand(libtorch, blas.installed) : aptCommand([FAST_BLAS_PACKAGE])
  warn(`the BLAS in use is slow (${blas.library}): fp32 training would be about 60 times slower. Run: ${remedy}`)
}
