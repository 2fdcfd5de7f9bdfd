// Whether work in groups of processes can be built: libtorch's c10d comes with Gloo, but Debian keeps Gloo's headers in a
// package of their own, and other builds of libtorch may leave them out. Without them everything else is built.
import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** The package of Debian's and Ubuntu's that has Gloo's headers. */
export const GLOO_PACKAGE = 'libgloo-dev'

/** Gloo's headers must be those that this libtorch was built with: the system's fit the system's libtorch alone. */
export function hasGloo({ include }) {
  const headers = ['torch/csrc/distributed/c10d/ProcessGroupGloo.hpp', 'gloo/transport/device.h']
  return process.platform === 'linux' && headers.every((header) => existsSync(join(include, header)))
}

/** Whether installing the package would bring the headers. */
export function wantsGlooPackage(libtorch) {
  return process.platform === 'linux' && libtorch.include === '/usr/include' && !hasGloo(libtorch)
}

/** Options for the sources in native/comm. */
export function collectiveFlags(libtorch) {
  return hasGloo(libtorch) ? ['-DHEARTH_GLOO', '-DUSE_C10D_GLOO'] : []
}

/** Debian's libtorch uses a Gloo beside it; other builds have it inside. */
export function collectiveLinks(libtorch) {
  return hasGloo(libtorch) && libtorch.include === '/usr/include' ? ['-lgloo'] : []
}
