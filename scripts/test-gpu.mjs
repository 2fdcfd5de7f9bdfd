// `npm run test:gpu [-- FILTER...]`: sets up what is missing and runs the device tests, `*.gpu.test.ts`, on a GPU. `npm test`
// has them too, and skips them where libtorch sees no GPU; here that is a failure, because nothing was tested.
import { pathToFileURL } from 'node:url'
import { setupOrExit } from './setup/index.mjs'
import { inRoot } from './setup/paths.mjs'

await setupOrExit()
const { cudaDeviceCount, torchVersion } = await import(pathToFileURL(inRoot('packages/torch/dist/index.js')).href)
if (cudaDeviceCount() === 0) {
  console.error(`libtorch ${torchVersion()} sees no GPU here, so there is nothing to run the device tests on.`)
  console.error('docs/guide/gpu.md says how to give Hearth a libtorch with CUDA.')
  process.exitCode = 1
} else {
  if (process.argv.length === 2) process.argv.push('.gpu.test.ts')
  await import('./test.mjs')
}
