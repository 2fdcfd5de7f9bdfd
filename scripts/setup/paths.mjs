// Where things lie in the repository. Every script takes its paths from here, so that it runs the same from any folder.
// It only names places; what is in them is the business of the other parts.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../', import.meta.url)).replace(/[\\/]$/, '')

/** An absolute path made from parts relative to the repository's root. */
export const inRoot = (...parts) => join(root, ...parts)

export const nativeSources = inRoot('packages/torch/native')
export const nativeBuild = inRoot('packages/torch/build')
export const nativeModule = join(nativeBuild, 'hearth_torch.node')
export const cache = inRoot('.cache/setup')
export const commandFile = inRoot('packages/cli/dist/main.js')
