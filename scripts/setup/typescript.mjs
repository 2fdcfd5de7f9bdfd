// The TypeScript build: `tsc -b` over all packages, started only when a source or a configuration changed since the last
// good build. Which files must be written again is the compiler's own business.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { changeHash, listFiles, readJson, writeJson } from './fingerprint.mjs'
import { cache, inRoot } from './paths.mjs'
import { SetupError, step } from './progress.mjs'
import { lastLines, run } from './subprocess.mjs'

const stampFile = join(cache, 'typescript.json')

export function typescriptCurrent() {
  return projects().every(isBuilt) && readJson(stampFile)?.key === changeHash(inputs())
}

export async function buildTypescript() {
  if (typescriptCurrent()) return
  const key = changeHash(inputs())
  await step('building the TypeScript packages', async () => {
    const { code, output } = await run(process.execPath, [
      inRoot('node_modules/typescript/bin/tsc'),
      '-b',
      '--pretty',
      'false',
    ])
    if (code === 0) return
    throw new SetupError('the TypeScript packages do not build.', {
      output: lastLines(output, 40),
      remedy:
        'Mend the lines named above. If nothing was edited, start from nothing: git status; npx tsc -b --clean; npm run setup',
    })
  })
  writeJson(stampFile, { key })
}

const projects = () => (readJson(inRoot('tsconfig.json'))?.references ?? []).map(({ path }) => path)
const isBuilt = (project) => existsSync(inRoot(project, 'dist/.tsbuildinfo'))

function inputs() {
  const shared = ['package-lock.json', 'tsconfig.json', 'tsconfig.base.json'].map((name) => inRoot(name))
  const own = projects().flatMap((project) => [
    inRoot(project, 'package.json'),
    inRoot(project, 'tsconfig.json'),
    ...listFiles(inRoot(project, 'src'), (name) => /\.(ts|tsx|json)$/.test(name)),
  ])
  return [...shared, ...own]
}
