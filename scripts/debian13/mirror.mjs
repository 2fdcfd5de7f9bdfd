// Which Debian mirror to use: the one this machine's own apt uses, or HEARTH_DEBIAN_MIRROR.
import { readFileSync } from 'node:fs'
import { listFiles } from '../setup/fingerprint.mjs'
import { SetupError } from '../setup/progress.mjs'

/** @returns {string} the URL of a Debian archive, for example one that ends in /debian */
export function hostMirror() {
  const chosen = process.env.HEARTH_DEBIAN_MIRROR
  if (chosen) return chosen
  const sources = listFiles('/etc/apt', (name) => /^sources\.list$|\.(list|sources)$/.test(name))
  const mirror = sources
    .flatMap((file) => addresses(readFileSync(file, 'utf8')))
    .find((url) => /\/debian\/?$/.test(url))
  if (mirror) return mirror
  throw new SetupError('apt on this machine uses no Debian mirror, so it is not known where to take Debian 13 from.', {
    remedy: 'Name a mirror (https://www.debian.org/mirror/list): HEARTH_DEBIAN_MIRROR=URL npm run test:debian13',
  })
}

// Both forms of apt's sources: `deb [options] URL suite ...` and `URIs: URL URL`.
function addresses(text) {
  const lines = [...text.matchAll(/^(?:deb\s+(?:\[[^\]]*\]\s+)?(\S+)|URIs:[ \t]*(.+))/gm)]
  return lines.flatMap(([, one, several]) => one ?? several.trim().split(/\s+/))
}
