// The Debian 13 system in a folder: made by debootstrap, mounted, given the packages that Hearth needs.
// Made under another name and renamed when whole, so that an interrupted making is simply begun again.
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { inRoot } from '../setup/paths.mjs'
import { SetupError, step } from '../setup/progress.mjs'
import { lastLines, run } from '../setup/subprocess.mjs'

const PACKAGES = ['libtorch-dev', 'libopenblas0-pthread', 'libgloo-dev', 'g++', 'nodejs', 'npm', 'git']
export const rootFolder = inRoot('.cache/debian13/root')
const packagesStamp = `${rootFolder}/.hearth-packages`

/** Makes the system unless it is there, and mounts /proc, /dev and /sys in it. */
export async function provideRoot(mirror) {
  if (!existsSync(rootFolder)) {
    const partial = `${rootFolder}.partial`
    rmSync(partial, { recursive: true, force: true })
    mkdirSync(partial, { recursive: true })
    const args = ['--variant=minbase', '--include=ca-certificates', 'trixie', partial, mirror]
    await step('making a Debian 13 system', () => must('debootstrap', args))
    renameSync(partial, rootFolder)
  }
  await must('mount', ['-t', 'proc', 'proc', `${rootFolder}/proc`])
  for (const folder of ['dev', 'sys']) await must('mount', ['--rbind', `/${folder}`, `${rootFolder}/${folder}`])
  for (const file of ['/etc/resolv.conf', '/etc/hosts', '/etc/ssl/certs/ca-certificates.crt']) {
    if (existsSync(file)) cpSync(file, rootFolder + file, { dereference: true })
  }
}

/** Installs libtorch, Node and the rest in the system; once, as long as the list stays the same. */
export async function providePackages() {
  const wanted = PACKAGES.join(' ')
  if (existsSync(packagesStamp) && readFileSync(packagesStamp, 'utf8') === wanted) return
  await step('installing libtorch 2.6 and Node in the Debian 13 system', async () => {
    await inside(['apt-get', 'update'])
    await inside(['apt-get', 'install', '-y', '--no-install-recommends', ...PACKAGES])
    await inside(['apt-get', 'clean'])
  })
  writeFileSync(packagesStamp, wanted)
}

const inside = (command) =>
  must('chroot', [rootFolder, 'env', 'DEBIAN_FRONTEND=noninteractive', 'LC_ALL=C', ...command])

async function must(command, args) {
  const { code, output } = await run(command, args)
  if (code === 0) return
  throw new SetupError(`\`${command} ${args.join(' ')}\` failed.`, {
    output: lastLines(output),
    remedy: 'Check the network and try again. To begin from nothing: rm -rf .cache/debian13',
  })
}
