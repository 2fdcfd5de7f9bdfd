// The Studio's page: built by Vite, in a second, when one of its files changed since the last good build.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { changeHash, listFiles, readJson, writeJson } from './fingerprint.mjs'
import { cache, inRoot } from './paths.mjs'
import { SetupError, step } from './progress.mjs'
import { lastLines, run } from './subprocess.mjs'

const stampFile = join(cache, 'studio.json')
const folder = inRoot('packages/studio')

export const studioCurrent = () =>
  existsSync(join(folder, 'dist/page/index.html')) && readJson(stampFile)?.key === changeHash(inputs())

export async function buildStudio() {
  if (studioCurrent()) return
  const key = changeHash(inputs())
  await step('building the Studio’s page', async () => {
    const { code, output } = await run(process.execPath, [inRoot('node_modules/vite/bin/vite.js'), 'build', folder])
    if (code === 0) return
    throw new SetupError('the Studio’s page does not build.', {
      output: lastLines(output, 40),
      remedy: 'Mend the lines named above, then: npm run setup',
    })
  })
  writeJson(stampFile, { key })
}

function inputs() {
  const own = ['package.json', 'vite.config.js', 'index.html', 'public/flame.svg'].map((name) => join(folder, name))
  return [
    inRoot('package-lock.json'),
    ...own,
    ...listFiles(join(folder, 'src'), (name) => /\.(ts|tsx|css)$/.test(name)),
  ]
}
