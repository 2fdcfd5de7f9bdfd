// The npm packages: installed exactly as package-lock.json says, and only when what is installed differs from it.
// npm records what it installed in node_modules/.package-lock.json, so the two lock files are compared entry by entry;
// what a developer added with `npm install` therefore needs no second installation.
import { inRoot } from './paths.mjs'
import { readJson } from './fingerprint.mjs'
import { SetupError, step } from './progress.mjs'
import { findProgram, lastLines, run } from './subprocess.mjs'

const MINIMUM_NODE = [20, 19]

export function checkPlatform() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < MINIMUM_NODE[0] || (major === MINIMUM_NODE[0] && minor < MINIMUM_NODE[1])) {
    throw new SetupError(`Hearth needs Node ${MINIMUM_NODE.join('.')} or newer; this is ${process.version}.`, {
      remedy: 'Install a current Node: https://nodejs.org/en/download',
    })
  }
  if (process.platform === 'win32') {
    throw new SetupError('Hearth runs on Linux and macOS.', {
      remedy: 'On Windows use the Linux subsystem: run `wsl --install -d Debian`, and clone Hearth inside it.',
    })
  }
}

/** Whether node_modules holds what package-lock.json asks for. Optional packages may be absent (other platforms). */
export function packagesInstalled() {
  const wanted = readJson(inRoot('package-lock.json'))?.packages
  const present = readJson(inRoot('node_modules/.package-lock.json'))?.packages
  if (!wanted || !present) return false
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.startsWith('node_modules/') && !path.includes('/node_modules/')) return true
    const found = present[path]
    if (!found) return entry.optional === true || entry.peer === true
    return found.version === entry.version && found.integrity === entry.integrity && found.link === entry.link
  })
}

export async function installPackages() {
  if (packagesInstalled()) return
  const npm = findProgram('npm')
  if (!npm)
    throw new SetupError('npm is not in PATH.', { remedy: 'Install Node with npm: https://nodejs.org/en/download' })
  await step('installing the npm packages', async () => {
    const { code, output } = await run(npm, ['ci', '--ignore-scripts', '--no-audit', '--no-fund'])
    if (code === 0) return
    throw new SetupError('`npm ci` failed.', {
      output: lastLines(output),
      remedy: 'Check the network and try again: npm run setup',
    })
  })
}
