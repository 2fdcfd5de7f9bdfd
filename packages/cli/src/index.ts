// What the generator of docs/cli reads. The package itself is the command (main.ts) and has no library face.
export { commands } from './commands/index.js'
export { commandPage, configurationPage, indexPage } from './docs.js'
