// Libraries that libtorch names and never calls. Debian's build names OpenCV, FFmpeg and others for parts that it leaves
// out, and loading them with all of theirs (about 220 files) costs every process a quarter of a second and 70 MB.
// Beside our module an empty library stands in for each. Only those of which not one symbol is used are replaced.
import { execFile } from 'node:child_process'
import { mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { nativeModule } from './paths.mjs'

const folder = join(dirname(nativeModule), 'idle')
const EMPTY = 'empty.so'

/** Whether this libtorch is one to look at: official builds bring nothing needless. */
const isSystems = ({ origin }) => process.platform === 'linux' && origin === 'system'

/** Link options by which the stand-ins are found. Of the two kinds of path only the old one counts for libtorch's own needs. */
export function idleLinks(libtorch) {
  return isSystems(libtorch) ? ['-Wl,--disable-new-dtags', '-Wl,-rpath,$ORIGIN/idle'] : []
}

/** Makes the stand-ins. Without them, as where the tools are missing, the real libraries are loaded. */
export async function standInForIdle(libtorch, compiler) {
  rmSync(folder, { recursive: true, force: true })
  if (!isSystems(libtorch)) return
  try {
    const idle = await idleLibraries(join(libtorch.library, 'libtorch_cpu.so'))
    mkdirSync(folder)
    await output(compiler.path, ['-shared', '-nostdlib', '-x', 'c', '/dev/null', '-o', join(folder, EMPTY)])
    for (const name of idle) symlinkSync(EMPTY, join(folder, name))
  } catch {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The names among `library`'s direct needs that give it no symbol, and that nothing else it needs asks for. */
export async function idleLibraries(library) {
  const paths = await resolved(library)
  const direct = await needs(library)
  const wanted = await symbols(library, '--undefined-only')
  const idle = new Set()
  for (const name of direct) {
    const path = paths.get(name)
    if (path === undefined) continue
    const given = await symbols(path, '--defined-only')
    if (![...given].some((symbol) => wanted.has(symbol))) idle.add(name)
  }
  for (const queue = direct.filter((name) => !idle.has(name)), seen = new Set(queue); queue.length > 0;) {
    const path = paths.get(queue.pop())
    for (const name of path === undefined ? [] : await needs(path)) {
      idle.delete(name)
      if (!seen.has(name)) queue.push(name)
      seen.add(name)
    }
  }
  return [...idle]
}

/** What the loader would take for each name. */
async function resolved(library) {
  const text = await output('ldd', [library])
  return new Map([...text.matchAll(/^\s*(\S+) => (\/\S+)/gm)].map(([, name, path]) => [name, path]))
}

async function needs(library) {
  const text = await output('readelf', ['-dW', library])
  return [...text.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, name]) => name)
}

/** Names without their versions. */
async function symbols(library, which) {
  const text = await output('nm', ['-D', '-P', which, library])
  return new Set(text.match(/^[^\s@]+/gm) ?? [])
}

// All of it: a list of symbols that was cut short would make a library look idle.
const execute = promisify(execFile)
const output = async (command, args) => (await execute(command, args, { maxBuffer: 256 << 20 })).stdout
