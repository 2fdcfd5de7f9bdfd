import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { compileFlags, linkFlags } from './flags.mjs'
import { findLibtorch } from './libtorch.mjs'

const suffix = process.platform === 'darwin' ? 'dylib' : 'so'
const versionHeader = 'include/torch/csrc/api/include/torch/version.h'
const numbers = (major, minor, patch) =>
  `#define TORCH_VERSION_MAJOR ${major}\n#define TORCH_VERSION_MINOR ${minor}\n#define TORCH_VERSION_PATCH ${patch}\n`

/** A folder with the files of an unpacked libtorch that set-up looks at, named by LIBTORCH. */
function unpacked(files) {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-libtorch-'))
  const all = { 'include/ATen/ATen.h': '', [`lib/libtorch.${suffix}`]: '', ...files }
  for (const [name, text] of Object.entries(all)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  vi.stubEnv('LIBTORCH', folder)
  return folder
}

afterEach(() => vi.unstubAllEnvs())

describe('LIBTORCH', () => {
  test('is taken with its version, ABI and CUDA libraries', () => {
    const folder = unpacked({
      [versionHeader]: numbers(2, 6, 1),
      [`lib/libtorch_cuda.${suffix}`]: '',
      'share/cmake/Torch/TorchConfig.cmake': 'set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI=0")',
    })
    expect(findLibtorch()).toEqual({
      origin: 'LIBTORCH',
      include: join(folder, 'include'),
      library: join(folder, 'lib'),
      version: '2.6.1',
      cuda: true,
      cxx11Abi: 0,
    })
  })

  test('may keep its version in the header of 2.10 and later', () => {
    unpacked({
      [versionHeader]: '#include <torch/headeronly/version.h>',
      'include/torch/headeronly/version.h': numbers(2, 12, 0),
    })
    const found = findLibtorch()
    expect(found).toMatchObject({ version: '2.12.0', cuda: false, cxx11Abi: 1 })
    expect(compileFlags(found)).toContain('-std=c++20')
  })

  test('is refused with what was expected when the folder holds no libtorch', () => {
    unpacked({})
    expect(() => findLibtorch()).toThrow(/there is no libtorch in it: expected include\/ATen/)
  })

  test('is refused when it is too old', () => {
    unpacked({ [versionHeader]: numbers(1, 12, 1) })
    expect(() => findLibtorch()).toThrow(/version 1\.12\.1; Hearth needs 1\.13 or newer/)
  })
})

test.runIf(process.platform === 'linux')('CUDA libraries stay linked although nothing names a symbol of theirs', () => {
  const libtorch = { library: '/opt/x/lib', include: '/opt/x/include', cuda: true, version: '2.6.0', cxx11Abi: 1 }
  const flags = linkFlags(libtorch, { family: 'clang' })
  expect(flags.join(' ')).toContain('-Wl,--no-as-needed -ltorch_cuda -lc10_cuda -Wl,--as-needed')
})
