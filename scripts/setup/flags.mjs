// The options that the native module is compiled and linked with. Instruction sets are not among them: kernels are
// compiled once for each (forms.mjs) and choose at run time, so that one module runs on every machine of its architecture.
import { collectiveLinks } from './collectives.mjs'
import { idleLinks } from './idle-libraries.mjs'
import { bundledOpenmp } from './libtorch.mjs'

const CXX20_SINCE = [2, 12]

/** Options for one source file, compiled from the repository's root: a repository that is moved or copied keeps what was built. @param {import('./libtorch.mjs').Libtorch} libtorch */
export function compileFlags(libtorch, compiler) {
  return [
    '-O2',
    `-std=${needsCxx20(libtorch.version) ? 'c++20' : 'c++17'}`,
    '-fPIC',
    ...openmp(compiler),
    `-D_GLIBCXX_USE_CXX11_ABI=${libtorch.cxx11Abi}`,
    ...includes(libtorch),
  ]
}

/** Options that follow the objects when the module is linked. */
export function linkFlags(libtorch, compiler) {
  const { library, cuda } = libtorch
  const torch = ['-ltorch', '-ltorch_cpu', '-lc10']
  if (process.platform === 'darwin') {
    return ['-shared', '-undefined', 'dynamic_lookup', `-L${library}`, `-Wl,-rpath,${library}`, ...torch]
  }
  // Nothing of ours names a symbol of the CUDA libraries, but loading them is what registers their operators.
  const gpu = cuda ? ['-Wl,--no-as-needed', '-ltorch_cuda', '-lc10_cuda', '-Wl,--as-needed'] : []
  const threads = openmp(compiler).length > 0 ? [bundledOpenmp(library) ?? '-fopenmp'] : []
  return [
    '-shared',
    ...idleLinks(libtorch),
    `-L${library}`,
    `-Wl,-rpath,${library}`,
    ...torch,
    ...gpu,
    ...collectiveLinks(libtorch),
    ...threads,
  ]
}

// libtorch's parallel_for is a header: without OpenMP our kernels would run it on one thread.
// Clang has no header for GCC's OpenMP runtime, and a second runtime would fight the first for the cores.
function openmp(compiler) {
  return process.platform === 'linux' && compiler?.family !== 'clang' ? ['-fopenmp'] : []
}

function needsCxx20(version) {
  const [major, minor] = version.split('.').map(Number)
  return major > CXX20_SINCE[0] || (major === CXX20_SINCE[0] && minor >= CXX20_SINCE[1])
}

// As system folders they raise no warnings and are left out of the dependencies. The compiler's own must not be named again.
function includes({ include }) {
  const own = include === '/usr/include' ? [] : ['-isystem', include]
  return [
    '-Ipackages/torch/native',
    '-Inode_modules/node-api-headers/include',
    ...own,
    '-isystem',
    `${include}/torch/csrc/api/include`,
  ]
}
