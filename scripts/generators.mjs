// Every program that writes files which are checked in. Each compares instead of writing when it is given --check,
// and then fails when a file is not what it would write.
import { existsSync } from 'node:fs'
import { inRoot } from './setup/paths.mjs'

const GENERATORS = [
  { file: 'packages/torch/gen/main.ts', makes: 'the operators of @hearth/torch and docs/ops.md' },
  { file: 'packages/cli/gen/docs.ts', makes: 'the pages of docs/cli' },
]

/** The generators that this checkout has. */
export const generators = () => GENERATORS.filter(({ file }) => existsSync(inRoot(file)))
