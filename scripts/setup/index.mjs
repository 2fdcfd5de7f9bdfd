// Set-up as a whole: what must hold before Hearth runs, in order. Each part knows whether it has anything to do, so a
// second set-up is only a look at the files (about a tenth of a second), and an interrupted one goes on where it stopped.
import { join } from 'node:path'
import { commandLinked, linkCommand } from './command.mjs'
import { withLock } from './lock.mjs'
import { buildNative, nativeCurrent, recordBlas } from './native.mjs'
import { checkPlatform, installPackages, packagesInstalled } from './packages.mjs'
import { cache } from './paths.mjs'
import { report } from './progress.mjs'
import { inspectSystem, provideSystem, warnOfSlowBlas } from './system.mjs'
import { buildStudio, studioCurrent } from './studio.mjs'
import { buildTypescript, typescriptCurrent } from './typescript.mjs'

/**
 * Makes everything ready, or throws a SetupError that says what a person must do.
 * @param {{ typescript?: boolean }} [options] typescript: false leaves out the TypeScript build (for the generators, whose
 * output that build needs)
 * @returns {Promise<boolean>} whether anything had to be done
 */
export async function setup({ typescript = true } = {}) {
  checkPlatform()
  const system = inspectSystem()
  if (isReady(system, typescript)) {
    recordBlas(system.blas)
    warnOfSlowBlas(system)
    return false
  }
  await withLock(join(cache, 'lock'), () => provideAll(typescript))
  return true
}

// What does not need each other goes side by side: npm and the TypeScript compiler work while apt does.
async function provideAll(typescript) {
  const packages = installPackages()
  const system = provideSystem()
  const build = typescript && packages.then(() => allDone([buildTypescript(), buildStudio()]))
  const native = allDone([system, packages]).then(async ([provided]) => {
    warnOfSlowBlas(provided)
    await buildNative(provided)
  })
  await allDone([packages, system, build, native])
  if (typescript) linkCommand()
}

// Unlike Promise.all it waits for the others when one fails, so that nothing is still being written after the end.
async function allDone(parts) {
  const results = await Promise.allSettled(parts)
  const failed = results.find(({ status }) => status === 'rejected')
  if (failed) throw failed.reason
  return results.map(({ value }) => value)
}

/** Sets up, or prints why not and ends the process. */
export async function setupOrExit(options) {
  try {
    return await setup(options)
  } catch (error) {
    report(error)
    process.exit(1)
  }
}

// A compiler is needed to build, not to run: a machine with the module built may have none.
function isReady({ libtorch }, typescript) {
  const native = libtorch !== undefined && packagesInstalled() && nativeCurrent(libtorch)
  return native && (!typescript || (typescriptCurrent() && studioCurrent() && commandLinked()))
}
