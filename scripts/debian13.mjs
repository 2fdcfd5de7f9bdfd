// `npm run test:debian13 [-- COMMAND ARGS...]`: builds and tests Hearth on Debian 13 (libtorch 2.6, Node 20) in a folder,
// .cache/debian13/root, made once by debootstrap. Without a command it runs `npm test`. The copy of the repository that
// it works on stays in .cache/debian13/root/hearth, so what a command wrote (a schema dump, say) can be taken from there.
// It needs root, for chroot. All mounts live in a mount namespace of their own, which ends with this process: none is
// ever seen by the host, and none can be left behind.
import { copyRepository } from './debian13/copy.mjs'
import { providePackages, provideRoot, rootFolder } from './debian13/root.mjs'
import { hostMirror } from './debian13/mirror.mjs'
import { aptInstall } from './setup/apt.mjs'
import { report, SetupError } from './setup/progress.mjs'
import { findProgram, runHere } from './setup/subprocess.mjs'

const NAMESPACE = 'HEARTH_OWN_MOUNTS'

async function main(command) {
  if (process.platform !== 'linux' || process.getuid() !== 0) {
    throw new SetupError('testing on Debian 13 needs Linux and root: it makes a system in a folder and enters it.', {
      remedy: 'sudo npm run test:debian13',
    })
  }
  if (process.env[NAMESPACE] === undefined) return enterNamespace(command)
  if (!findProgram('debootstrap')) await aptInstall(['debootstrap', 'debian-archive-keyring'], () => true)
  await provideRoot(hostMirror())
  await providePackages()
  await copyRepository(`${rootFolder}/hearth`)
  return runHere('chroot', [rootFolder, 'env', '-C', '/hearth', ...command], { env: environment() })
}

function enterNamespace(command) {
  const args = ['--mount', '--propagation', 'private', process.execPath, import.meta.filename, ...command]
  return runHere('unshare', args, { env: { ...process.env, [NAMESPACE]: '1' } })
}

// What a command inside may know of the host: its proxies and certificates, whether it is CI; not its npm and libtorch.
function environment() {
  const kept = Object.entries(process.env).filter(([name]) =>
    /^(CI|TERM|NODE_EXTRA_CA_CERTS|SSL_CERT_\w+|\w+_proxy)$/i.test(name),
  )
  return {
    ...Object.fromEntries(kept),
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/root',
  }
}

try {
  const command = process.argv.slice(2)
  process.exitCode = await main(command.length > 0 ? command : ['npm', 'test'])
} catch (error) {
  report(error)
  process.exitCode = 1
}
