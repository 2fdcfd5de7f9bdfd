// Debian's and Ubuntu's packages. They are installed only where nobody has to be asked for a password;
// elsewhere the caller shows the command.
import { SetupError, step } from './progress.mjs'
import { findProgram, lastLines, run } from './subprocess.mjs'

const LOCK_WAIT = ['-o', 'DPkg::Lock::Timeout=300']

export const hasApt = () => findProgram('apt-get') !== undefined

/** The command that a person would type. */
export function aptCommand(packages) {
  const sudo = process.getuid?.() === 0 ? '' : 'sudo '
  return `${sudo}apt-get update && ${sudo}apt-get install -y --no-install-recommends ${packages.join(' ')}`
}

/** What must precede `apt-get` here: nothing for root, sudo where it asks no password; undefined where neither holds. */
async function privilege() {
  if (process.getuid?.() === 0) return []
  const sudo = findProgram('sudo')
  if (sudo && (await run(sudo, ['-n', 'true'])).code === 0) return [sudo, '-n']
  return undefined
}

/**
 * Installs packages if that needs no password. Returns false, having installed nothing, where it would, and where
 * `isUseful`, asked when the package lists are fresh, says no.
 */
export async function aptInstall(packages, isUseful) {
  const prefix = hasApt() ? await privilege() : undefined
  if (!prefix) return false
  await apt(prefix, 'reading the list of system packages', ['update'], packages)
  if (!(await isUseful())) return false
  await apt(
    prefix,
    `installing ${packages.join(', ')}`,
    ['install', '-y', '--no-install-recommends', ...packages],
    packages,
  )
  return true
}

async function apt(prefix, label, args, packages) {
  const [command, ...before] = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', ...LOCK_WAIT]
  await step(label, async () => {
    const { code, output } = await run(command, [...before, ...args])
    if (code === 0) return
    throw new SetupError(`\`apt-get ${args.join(' ')}\` failed.`, {
      output: lastLines(output),
      remedy: `Do it by hand, then start again:\n${aptCommand(packages)}`,
    })
  })
}

/** The version of a package that apt would install, as [major, minor]; undefined when there is none. */
export async function aptCandidate(name) {
  const { code, output } = await run('apt-cache', ['policy', name], { env: { ...process.env, LC_ALL: 'C' } })
  const match = code === 0 ? /Candidate: (?:\d+:)?(\d+)\.(\d+)/.exec(output) : null
  return match ? [Number(match[1]), Number(match[2])] : undefined
}
