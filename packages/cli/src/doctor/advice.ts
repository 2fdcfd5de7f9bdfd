// What is slow or missing on this machine, and what helps. Thresholds are far from what a sound machine measures.
import type { Engine, Machine } from './machine.js'
import type { Measurements } from './measure.js'

export interface Advice {
  problem: string
  remedy: string
}

/** A core with a fast BLAS makes 20 to 200 GFLOP/s; the reference BLAS 2 to 5. */
const SLOW_GFLOPS_PER_THREAD = 10
const SLOW_CALL_MICROSECONDS = 3
const LITTLE_MEMORY = 2 * 2 ** 30

export function adviseOn(machine: Machine, engine: Engine, measured: Measurements): Advice[] {
  return [
    ...adviseOnBlas(machine, engine, measured),
    ...adviseOnThreads(machine, engine),
    ...adviseOnBfloat16(engine, measured),
    ...adviseOnSurroundings(machine, measured),
  ]
}

function adviseOnBlas({ build }: Machine, { threads }: Engine, { matmulFloat32 }: Measurements): Advice[] {
  const slow = matmulFloat32 < SLOW_GFLOPS_PER_THREAD * threads
  if (build?.blas?.fast === false || (slow && build?.libtorch?.origin === 'system'))
    return [
      {
        problem: `fp32 matrix products run at ${matmulFloat32.toFixed(0)} GFLOP/s with ${build.blas?.library ?? 'this BLAS'}: training is many times slower than it could be`,
        remedy: 'sudo apt-get install libopenblas0-pthread   (then: npm run setup)',
      },
    ]
  return []
}

function adviseOnThreads({ cores }: Machine, { threads }: Engine): Advice[] {
  if (threads >= cores) return []
  const cause = process.env.OMP_NUM_THREADS === undefined ? '' : `; OMP_NUM_THREADS is ${process.env.OMP_NUM_THREADS}`
  return [
    {
      problem: `operators use ${threads} of ${cores} cores${cause}`,
      remedy: `unset OMP_NUM_THREADS, or: export OMP_NUM_THREADS=${cores}`,
    },
  ]
}

function adviseOnBfloat16({ fastBfloat16 }: Engine, { matmulFloat32, matmulBfloat16 }: Measurements): Advice[] {
  if (fastBfloat16 && matmulBfloat16 < matmulFloat32)
    return [
      {
        problem: `bf16 matrix products (${matmulBfloat16.toFixed(0)} GFLOP/s) are slower than fp32 (${matmulFloat32.toFixed(0)}) though this processor has instructions for them`,
        remedy: 'a newer libtorch (LIBTORCH=/path npm run setup), or train with --set dtype=float32',
      },
    ]
  return []
}

function adviseOnSurroundings({ availableBytes, load, cores }: Machine, { operatorCall }: Measurements): Advice[] {
  const advice: Advice[] = []
  if (availableBytes < LITTLE_MEMORY)
    advice.push({
      problem: `only ${(availableBytes / 2 ** 30).toFixed(1)} GiB of memory are available`,
      remedy: 'close other programs, or train a smaller model: --set batch=... --set sequenceLength=...',
    })
  if (load > cores * 0.75 + 0.5)
    advice.push({
      problem: `other programs are busy (load ${load.toFixed(1)} on ${cores} cores): the figures above and training are slower for it`,
      remedy: 'let them finish, or close them, and measure again',
    })
  if (operatorCall > SLOW_CALL_MICROSECONDS)
    advice.push({
      problem: `one operator call takes ${operatorCall.toFixed(1)} µs; 1 µs is usual`,
      remedy: 'run without a debugger or profiler, and see whether the processor is saving power',
    })
  return advice
}
