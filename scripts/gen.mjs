// `npm run gen [-- --dump]`: writes the generated files of @hearth/torch (packages/torch/gen/main.ts).
// The TypeScript build is left out of its set-up: that build needs what is generated here.
import { runTypescript } from './tsx.mjs'
import { setupOrExit } from './setup/index.mjs'

await setupOrExit({ typescript: false })
process.exitCode = await runTypescript('packages/torch/gen/main.ts', process.argv.slice(2))
