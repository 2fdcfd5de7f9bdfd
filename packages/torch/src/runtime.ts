// The process around the tensors: libtorch's version, threads, processor features, memory. The escape hatch too.
import { availableParallelism } from 'node:os'
import type { Device } from './device.js'
import { bind, native, type NativeOperator } from './native.js'
import { Tensor } from './tensor.js'

/** Version of the loaded libtorch, as `1.13.1`. */
export const torchVersion = (): string => native.torchVersion()
/** What libtorch says of its own build: BLAS, OpenMP, instruction sets. */
export const buildSummary = (): string => native.buildSummary()
/** Instruction sets of this processor that decide what is fast: `avx2`, `avx512bf16`, `amx_bf16`, ... */
export const cpuFeatures = (): string[] => native.cpuFeatures()
export const numThreads = (): number => native.numThreads()
/** Threads that one operator may use. */
export const setNumThreads = (threads: number): void => native.setNumThreads(threads)

/**
 * Whether a device multiplies bf16 matrices in hardware; elsewhere they are emulated and far slower than float32.
 * GPUs count as such: those from Ampere on do, older ones are not told apart.
 */
export const hasFastBfloat16 = (device: Device = 'cpu'): boolean =>
  device !== 'cpu' || cpuFeatures().some((feature) => feature === 'amx_bf16' || feature === 'avx512bf16')

export interface MemoryStats {
  /** Tensors that JavaScript holds. */
  liveTensors: number
  /** Bytes of their distinct storages. */
  liveBytes: number
  /** Bytes in CPU tensors of the whole process, those that only autograd or another thread holds among them. */
  allocatedBytes: number
  /** The most that allocatedBytes was since resetPeakMemory(). */
  peakBytes: number
  /** Freed memory that is kept for the next tensors: with allocatedBytes at most the peak and an eighth of it, or 64 MiB. */
  cachedBytes: number
}

/** Memory of tensors. With HEARTH_ALLOCATOR=system in the environment, what libtorch allocates is not known: zero. */
export function memoryStats(): MemoryStats {
  const [liveTensors, liveBytes, allocatedBytes, peakBytes, cachedBytes] = native.memoryStats()
  return { liveTensors, liveBytes, allocatedBytes, peakBytes, cachedBytes }
}

/** Starts `peakBytes` anew from what is allocated now. */
export const resetPeakMemory = (): void => native.resetPeakMemory()

/**
 * Refuses requests that would bring CPU tensors above this many bytes, those below 256 KiB not counted: for a process
 * that shares its machine. Without a limit, what the machine has left is one.
 * @param bytes undefined for no limit
 */
export function setMemoryLimit(bytes: number | undefined): void {
  native.setMemoryLimit(bytes === undefined ? -1 : Math.max(0, Math.floor(bytes)))
}

/** Gives freed memory that is kept for the next tensors back to the system: for a process that goes on to something else. */
export const releaseCachedMemory = (): void => native.releaseCachedMemory()

interface Bound {
  operator: NativeOperator
  /** For each result whether it is a tensor: it comes back as a handle, which only the schema tells from a number. */
  tensors: boolean[]
}

const bound = new Map<string, Bound>()

function bindByName(name: string): Bound {
  const [base, overload = ''] = name.split('.')
  const operator = bind(base!, overload)
  const schema = native.listSchemas().find((text) => text.startsWith(`${name}(`)) ?? ''
  const returns = schema.slice(schema.lastIndexOf(' -> ') + 4).replace(/^\((?=.*\)$)|\)$/g, '')
  return { operator, tensors: returns.split(', ').map((type) => type.startsWith('Tensor')) }
}

/**
 * Any operator of libtorch by its full name, for those that have no typed function. Tensors may be given as Tensor;
 * results are Tensors where the schema says so.
 * @param name `aten::name` or `aten::name.overload`
 * @param args in the order of the operator's schema, undefined for defaults
 * @throws TorchError when there is no such operator or the arguments do not fit
 * @example
 * const [q, r] = call('aten::linalg_qr', x) as [Tensor, Tensor]
 */
export function call(name: string, ...args: unknown[]): unknown {
  const { operator, tensors } = bound.get(name) ?? bindByName(name)
  if (!bound.has(name)) bound.set(name, { operator, tensors })
  const unwrap = (arg: unknown): unknown =>
    arg instanceof Tensor ? arg.handle : Array.isArray(arg) ? arg.map((item: unknown) => unwrap(item)) : arg
  const result = operator(...args.map(unwrap))
  const rewrap = (value: unknown): unknown =>
    Array.isArray(value) ? value.map(rewrap) : typeof value === 'number' ? new Tensor(value) : value
  if (tensors.length === 1) return tensors[0] ? rewrap(result) : result
  return Array.isArray(result) ? result.map((value: unknown, i) => (tensors[i] ? rewrap(value) : value)) : result
}

// libtorch starts with one thread unless the environment says otherwise; a workbench uses the machine.
if (process.env.OMP_NUM_THREADS === undefined) setNumThreads(availableParallelism())
