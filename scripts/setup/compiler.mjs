// The C++ compiler: CXX if it is set, else the first of g++, clang++ and c++ that is installed.
import { SetupError } from './progress.mjs'
import { findProgram, run } from './subprocess.mjs'

/** @returns {string | undefined} the full path of the compiler */
export function findCompiler() {
  const asked = process.env.CXX
  if (!asked) return ['g++', 'clang++', 'c++'].map(findProgram).find(Boolean)
  const found = findProgram(asked)
  if (!found)
    throw new SetupError(`CXX is ${asked}, which is not a program in PATH.`, { remedy: 'Unset CXX, or correct it.' })
  return found
}

/** Who made the compiler and its version line: clang and g++ take some options differently. */
export async function inspectCompiler(path) {
  const { code, output } = await run(path, ['--version'])
  const version = output.split('\n')[0]
  if (code !== 0) throw new SetupError(`The compiler ${path} does not run.`, { output })
  return { path, version, family: /clang/i.test(output) ? 'clang' : 'gcc' }
}
