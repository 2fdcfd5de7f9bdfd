// Finding libtorch: where LIBTORCH points, else the system's own, else Homebrew's. It only looks; it installs nothing.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { SetupError } from './progress.mjs'

const MINIMUM = [1, 13]
const MULTIARCH = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu', riscv64: 'riscv64-linux-gnu' }
const SUFFIX = process.platform === 'darwin' ? 'dylib' : 'so'
const RELEASE = '2.9.1'

/**
 * @typedef {object} Libtorch
 * @property {'LIBTORCH' | 'system' | 'brew'} origin
 * @property {string} include the folder that holds torch/ and ATen/
 * @property {string} library the folder that holds libtorch.so
 * @property {string} version for example 2.6.0
 * @property {boolean} cuda whether it brings its CUDA libraries
 * @property {0 | 1} cxx11Abi the C++ ABI of the standard library it was compiled with
 */

/** @returns {Libtorch | undefined} the first libtorch found that is not too old */
export function findLibtorch() {
  const asked = process.env.LIBTORCH
  if (asked) return inspectAsked(resolve(asked))
  return systemPlaces()
    .map(({ origin, prefix }) => inspect(origin, prefix))
    .find((found) => found && isRecent(found.version))
}

/** A libtorch of the system's that is too old to be used, for the message. */
export function findOldLibtorch() {
  return systemPlaces()
    .map(({ origin, prefix }) => inspect(origin, prefix))
    .find((found) => found && !isRecent(found.version))
}

export function isRecent(version) {
  const [major, minor] = Array.isArray(version) ? version : version.split('.').map(Number)
  return major > MINIMUM[0] || (major === MINIMUM[0] && minor >= MINIMUM[1])
}

function inspectAsked(prefix) {
  const found = inspect('LIBTORCH', prefix)
  const remedy =
    'Point LIBTORCH at the unpacked folder (the one that holds include/ and lib/), or unset it to use the system’s.'
  if (!found) {
    throw new SetupError(
      `LIBTORCH is ${prefix}, but there is no libtorch in it: ` +
        `expected include/ATen, include/torch/csrc/api/include/torch/version.h and lib/libtorch.${SUFFIX}.`,
      { remedy },
    )
  }
  if (!isRecent(found.version)) {
    throw new SetupError(
      `LIBTORCH is ${prefix}, version ${found.version}; Hearth needs ${MINIMUM.join('.')} or newer.`,
      {
        remedy,
      },
    )
  }
  return found
}

function systemPlaces() {
  const places = ['/usr', '/usr/local', '/opt/libtorch'].map((prefix) => ({ origin: 'system', prefix }))
  if (process.platform !== 'darwin') return places
  const brew = process.env.HOMEBREW_PREFIX ?? (process.arch === 'arm64' ? '/opt/homebrew' : '/usr/local')
  return [{ origin: 'brew', prefix: join(brew, 'opt/pytorch') }, { origin: 'brew', prefix: brew }, ...places]
}

function inspect(origin, prefix) {
  const include = join(prefix, 'include')
  const version = readVersion(include)
  const library = ['lib', 'lib64', `lib/${MULTIARCH[process.arch]}`]
    .map((folder) => join(prefix, folder))
    .find((folder) => existsSync(join(folder, `libtorch.${SUFFIX}`)))
  if (!version || !library || !existsSync(join(include, 'ATen'))) return undefined
  const cuda = existsSync(join(library, `libtorch_cuda.${SUFFIX}`))
  return { origin, include, library, version, cuda, cxx11Abi: readAbi(prefix, library) }
}

// Since 2.10 the numbers stand in torch/headeronly/version.h, and the old header includes that one.
function readVersion(include) {
  for (const header of ['torch/csrc/api/include/torch/version.h', 'torch/headeronly/version.h']) {
    const path = join(include, header)
    const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
    const parts = ['MAJOR', 'MINOR', 'PATCH'].map(
      (part) => new RegExp(`TORCH_VERSION_${part}\\s+(\\d+)`).exec(text)?.[1],
    )
    if (parts.every(Boolean)) return parts.join('.')
  }
  return undefined
}

function readAbi(prefix, library) {
  const file = [
    join(library, 'cmake/Torch/TorchConfig.cmake'),
    join(prefix, 'share/cmake/Torch/TorchConfig.cmake'),
  ].find((path) => existsSync(path))
  const match = file && /_GLIBCXX_USE_CXX11_ABI=([01])/.exec(readFileSync(file, 'utf8'))
  return match?.[1] === '0' ? 0 : 1
}

/** The OpenMP runtime that an official build brings along under a name of its own; a second one beside it would compete. */
export function bundledOpenmp(library) {
  // In the system's own folder libgomp is the compiler's.
  if (library.startsWith('/usr/lib')) return undefined
  const name = readdirSync(library).find((file) => /^libgomp.*\.so/.test(file))
  return name && join(library, name)
}

/** What a person types to get libtorch where no package of the system brings it. */
export function downloadCommand() {
  if (process.platform === 'darwin') return 'brew install pytorch && npm run setup'
  // The official archives for Linux are for x86-64; for others the same files come with the Python package.
  if (process.arch !== 'x64') {
    return [
      'python3 -m venv "$HOME/torch" && "$HOME/torch/bin/pip" install torch',
      'export LIBTORCH="$("$HOME/torch/bin/python" -c \'import torch; print(torch.__path__[0])\')"',
      'npm run setup',
    ].join('\n')
  }
  const archive = `libtorch-shared-with-deps-${RELEASE}`
  return [
    `curl -LO https://download.pytorch.org/libtorch/cpu/${archive}%2Bcpu.zip`,
    `unzip -q ${archive}%2Bcpu.zip -d "$HOME"`,
    'export LIBTORCH="$HOME/libtorch"',
    'npm run setup',
    '(for an NVIDIA GPU choose the CUDA archive at https://pytorch.org/get-started/locally, Package: LibTorch)',
  ].join('\n')
}
