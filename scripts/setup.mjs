// `npm run setup`: makes everything ready that Hearth needs: npm packages, libtorch, the native module, the build.
// It may be run at any time; with everything in place it only says so.
const start = performance.now()
const { setupOrExit } = await import('./setup/index.mjs')

const changed = await setupOrExit()
const seconds = ((performance.now() - start) / 1000).toFixed(changed ? 0 : 2)
console.log(changed ? `Hearth is ready (${seconds} s).` : `Everything is in place (${seconds} s).`)
