// `--hosts`: names and addresses of the machines of a run, as a person writes them, and how each is reached.
import type { Host } from 'hearth/train'
import { UsageError } from '../failure.js'

/** Above those that systems give out, and not one that a well-known program uses. */
export const PORT = 7433

const NAME = /^[\w.-]+$/
const ADDRESS = /^[\w.:-]+$/
const LOCAL = /^local:(\d+)$/
const MOST_LOCAL = 64

/**
 * `a,b=10.0.0.2` or `local:4`, which is four on this machine, for a rehearsal.
 * @throws UsageError naming every entry that is none, and those named twice
 */
export function parseHosts(text: string, command: string): Host[] {
  const local = Number(LOCAL.exec(text)?.[1])
  if (local >= 1 && local <= MOST_LOCAL)
    return Array.from({ length: local }, (_, i) => ({ name: `local-${i + 1}`, address: `127.0.0.${i + 1}` }))
  const hosts = text.split(',').map((entry) => {
    const [name = '', address = name] = entry.trim().split('=')
    return { name, address }
  })
  const problems = hosts
    .filter(({ name, address }) => !NAME.test(name) || !ADDRESS.test(address))
    .map(
      ({ name }) => `--hosts takes names, as a,b,c or a=10.0.0.1,b=10.0.0.2, or local:N; got ${JSON.stringify(name)}`,
    )
  for (const part of ['name', 'address'] as const) {
    const all = hosts.map((host) => host[part])
    for (const twice of new Set(all.filter((each, i) => all.indexOf(each) < i)))
      problems.push(`--hosts names ${twice} twice`)
  }
  if (problems.length > 0) throw new UsageError([...new Set(problems)], command)
  return hosts
}

export const isLocal = ({ address }: Host): boolean => address.startsWith('127.')

/**
 * The line that runs a command on a host.
 * @param via words in which {host} stands for its name, as `ip netns exec {host}`; ssh when it is not given
 */
export function lineOn(host: Host, words: readonly string[], via: string | undefined): [string, ...string[]] {
  if (via !== undefined) {
    const [program = '', ...rest] = via.split(' ').map((word) => word.replaceAll('{host}', host.name))
    return [program, ...rest, ...words]
  }
  if (isLocal(host)) return words as [string, ...string[]]
  const quoted = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`
  const remote = `cd ${quoted(process.cwd())} && exec ${words.map(quoted).join(' ')}`
  return ['ssh', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=5', host.address, remote]
}
