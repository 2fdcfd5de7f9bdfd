import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { idleLibraries } from './idle-libraries.mjs'

test.skipIf(process.platform !== 'linux')(
  'only a library of which nobody uses a symbol is idle, and nothing that a used one needs',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hearth-idle-'))
    const build = (name, text, ...links) => {
      const source = join(folder, `${name}.c`)
      writeFileSync(source, text)
      const file = join(folder, `lib${name}.so`)
      const needs = links.map((link) => join(folder, `lib${link}.so`))
      const named = [`-Wl,-soname,lib${name}.so`, '-Wl,--no-as-needed', `-Wl,-rpath,${folder}`]
      execFileSync('gcc', ['-shared', '-fPIC', source, ...named, ...needs, '-o', file])
      return file
    }
    try {
      build('below', 'int below(void) { return 1; }')
      build('used', 'int below(void); int used(void) { return below(); }', 'below')
      build('idle', 'int idle(void) { return 2; }')
      const main = build('main', 'int used(void); int run(void) { return used(); }', 'used', 'idle', 'below')
      expect((await idleLibraries(main)).filter((name) => !name.startsWith('libc.'))).toEqual(['libidle.so'])
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
)
