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
  await withLock(join(cache, 'lock'), async () => {
    await installPackages()
    const provided = await provideSystem()
    warnOfSlowBlas(provided)
    // Side by side: while one core reads libtorch's headers, the other would have nothing to do.
    await allDone([buildNative(provided), typescript && buildTypescript()])
    if (typescript) linkCommand()
  })
  return true
}

// Unlike Promise.all it waits for the others when one fails, so that nothing is still being written after the end.
async function allDone(parts) {
  const failed = (await Promise.allSettled(parts)).find(({ status }) => status === 'rejected')
  if (failed) throw failed.reason
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
  return native && (!typescript || (typescriptCurrent() && commandLinked()))
}
