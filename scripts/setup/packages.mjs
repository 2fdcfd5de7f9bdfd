// The npm packages: installed exactly as package-lock.json says, and only when that file is another one than at the last
// installation. A developer's own `npm install` leaves no stamp of ours, but npm's record of what it installed, in
// node_modules/.package-lock.json: where that agrees with the lock file entry by entry, nothing is installed again.
import { inRoot } from './paths.mjs'
import { contentHash, readJson, writeJson } from './fingerprint.mjs'
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

const lockFile = inRoot('package-lock.json')
const stampFile = inRoot('node_modules/.hearth.json')

/** Whether node_modules holds what package-lock.json asks for. */
export function packagesInstalled() {
  return readJson(stampFile)?.lock === contentHash([lockFile]) || agreesWithLock()
}

// Optional packages may be absent: they are for other platforms.
function agreesWithLock() {
  const wanted = readJson(lockFile)?.packages
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
    if (code !== 0) {
      // Where the lock file and package.json disagree, npm goes on to explain its command line: that part is left out.
      const reason = output.split(/^npm (?:error|ERR!) Clean install/m)[0]
      const remedy = /in sync/.test(reason) ? 'npm install' : 'Check the network and try again: npm run setup'
      throw new SetupError('`npm ci` failed.', { output: lastLines(reason), remedy })
    }
    writeJson(stampFile, { lock: contentHash([lockFile]) })
  })
}
