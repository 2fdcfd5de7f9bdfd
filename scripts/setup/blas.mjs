// The system's BLAS. Debian's libtorch computes its fp32 matrix products through libblas.so.3, which an alternative
// points at one of several libraries; the reference one is 60 times slower than OpenBLAS. Official builds and macOS
// bring a fast one of their own.
import { existsSync, realpathSync } from 'node:fs'
import { basename, join } from 'node:path'

export const FAST_BLAS_PACKAGE = 'libopenblas0-pthread'
const FAST = /openblas-(pthread|openmp)|libopenblasp|libmkl|blis-(pthread|openmp)|libarmpl/

/**
 * Says which BLAS libtorch will use.
 * @param {import('./libtorch.mjs').Libtorch} libtorch
 * @returns {{ library: string, fast: boolean, installed?: string }} `installed`: a fast one that is there but not chosen
 */
export function inspectBlas(libtorch) {
  const link = join(libtorch.library, 'libblas.so.3')
  if (process.platform === 'darwin') return { library: 'Accelerate', fast: true }
  if (libtorch.origin !== 'system' || !existsSync(link)) return { library: 'the one inside libtorch', fast: true }
  const library = realpathSync(link)
  if (FAST.test(library)) return { library, fast: true }
  const openblas = join(libtorch.library, 'openblas-pthread/libblas.so.3')
  return { library, fast: false, installed: existsSync(openblas) ? openblas : undefined }
}

/** The command that makes an installed fast BLAS the chosen one. */
export function chooseCommand(libtorch, openblas) {
  const alternative = `libblas.so.3-${basename(libtorch.library)}`
  return `${process.getuid?.() === 0 ? '' : 'sudo '}update-alternatives --set ${alternative} ${openblas}`
}
