// The headers of libtorch that every native source includes, compiled once: parsing them is three quarters of the work
// of each file (10 s against 3 s). GCC takes the compiled form when it fits and reads the header itself when not, so
// this changes how long a build takes and nothing else. Other compilers read the header.
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { contentHash, readJson, writeJson } from './fingerprint.mjs'
import { step } from './progress.mjs'
import { run } from './subprocess.mjs'

const HEADERS = ['ATen/ATen.h', 'ATen/core/dispatch/Dispatcher.h']

/**
 * Makes the prelude ready in `folder`.
 * @param {{ path: string, version: string, family: string }} compiler
 * @returns {Promise<string[]>} the options that make a source use it
 */
export async function preparePrelude(folder, compiler, flags, libtorchVersion) {
  const header = `${folder}/prelude.h`
  const compiled = `${header}.gch`
  const stamp = `${header}.json`
  const text = HEADERS.map((name) => `#include <${name}>\n`).join('')
  const hash = contentHash([], { compiler, flags, libtorchVersion, text })
  if (readJson(stamp)?.hash !== hash || !existsSync(header)) {
    for (const file of [stamp, compiled]) rmSync(file, { force: true })
    writeFileSync(header, text)
    if (compiler.family === 'gcc') await compileHeader(header, compiled, compiler, flags, libtorchVersion)
    writeJson(stamp, { hash })
  }
  return ['-include', header]
}

// When this fails, each source fails on the same header with a message of its own: that one is shown.
async function compileHeader(header, compiled, compiler, flags, libtorchVersion) {
  const partial = `${compiled}.${process.pid}.tmp`
  await step(`reading the headers of libtorch ${libtorchVersion}`, async () => {
    const { code } = await run(compiler.path, [...flags, '-x', 'c++-header', header, '-o', partial])
    if (code === 0) renameSync(partial, compiled)
    else rmSync(partial, { force: true })
  })
}
