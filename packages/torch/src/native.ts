// The complete contract of the native module, and the one place that loads it. Nothing else requires the binary.
// Handles are plain numbers (see native/handles.h); 0 is never a valid one.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { HearthError, TorchError } from './errors.js'
import { makeError, warn } from './native-error.js'

/** A typed array that a tensor's memory can be seen through. */
export type TypedArray =
  Float32Array | Float64Array | Int8Array | Int16Array | Int32Array | Uint8Array | Uint16Array | BigInt64Array

/** An operator of libtorch: arguments in the order of its schema, undefined for defaults, handles for tensors. */
export type NativeOperator = (...args: unknown[]) => unknown

export interface Native {
  setErrorFactory(factory: (kind: string, message: string, operator: string) => Error): void
  setWarningListener(listener: (message: string) => void): void
  /** undefined when the loaded libtorch has no such operator. */
  bindOperator(name: string, overload: string): NativeOperator | undefined
  listSchemas(): string[]
  release(handle: number): void
  releaseMany(handles: Float64Array, count: number): void
  shapeOf(handle: number): number[]
  dtypeOf(handle: number): number
  deviceOf(handle: number): string
  isContiguous(handle: number): boolean
  /** Tells V8 of the memory that hangs on a tensor, and returns it: 0 for a view. */
  watch(handle: number): number
  /** Releases a tensor and takes back what watch() told. */
  unwatch(handle: number, bytes: number): void
  /** A second handle to the same tensor. */
  share(handle: number): number
  fromData(data: TypedArray, shape: readonly number[], dtype: number): number
  dataOf(handle: number): TypedArray
  moveTo(handle: number, device: string | undefined, dtype: number | undefined): number
  item(handle: number): number | bigint | boolean
  mapFile(path: string, shared: boolean): [mapping: number, size: number]
  mappedTensor(mapping: number, offset: number, shape: readonly number[], dtype: number): number
  mappedData(mapping: number, offset: number, length: number): Uint8Array
  unmapFile(mapping: number): void
  releasePages(mapping: number): void
  setGradEnabled(enabled: boolean): boolean
  setRequiresGrad(handle: number, requiresGrad: boolean): void
  requiresGrad(handle: number): boolean
  gradientOf(handle: number): number | undefined
  setGradient(handle: number, gradient: number | undefined): void
  backward(outputs: readonly number[], gradients: readonly number[] | undefined, retainGraph: boolean): void
  gradients(
    outputs: readonly number[],
    inputs: readonly number[],
    gradients: readonly number[] | undefined,
    retainGraph: boolean,
    createGraph: boolean,
  ): (number | undefined)[]
  torchVersion(): string
  buildSummary(): string
  cpuFeatures(): string[]
  numThreads(): number
  setNumThreads(threads: number): void
  deviceCount(): number
  manualSeed(seed: number): void
  createGenerator(device: string, seed: number): number
  seedGenerator(generator: number, seed: number): void
  releaseGenerator(generator: number): void
  memoryStats(): [liveTensors: number, liveBytes: number, allocated: number, peak: number, cached: number]
  resetPeakMemory(): void
  /** Negative for no limit. */
  setMemoryLimit(bytes: number): void
  releaseCachedMemory(): void
  /** Whether this build has c10d; without it joinGroup() throws. */
  hasCollectives(): boolean
  /**
   * `ask` is called to set a key of the group's directory, or to get one when there is no value; answerGroup() replies.
   * Every promise of a group rejects with `[message, ranks of the members to whom it is due, whether the
   * group is over]`.
   */
  joinGroup(
    ask: (id: number, key: string, value: Uint8Array | undefined) => void,
    rank: number,
    size: number,
    timeoutMs: number,
    address: string,
  ): [group: number, joined: Promise<unknown>]
  answerGroup(group: number, id: number, value: Uint8Array | undefined, error: string): void
  /** Resolves with handles of the tensors that the operation makes. */
  runCollective(
    group: number,
    operation: string,
    handle: number | undefined,
    root: number,
    reduction: string,
  ): Promise<number[]>
  transferTensor(group: number, handle: number, peer: number, sends: boolean): Promise<unknown>
  abortGroup(group: number, reason: string): void
  leaveGroup(group: number): Promise<unknown>
  releaseGroup(group: number): void
}

const BINARY = fileURLToPath(new URL('../build/hearth_torch.node', import.meta.url))

/**
 * How long idle worker threads spin before they sleep. The libraries' own defaults suit a machine that one program has to
 * itself; beside other programs the spinning takes the processor from the very thread that is waited for.
 */
const THREAD_PATIENCE = { GOMP_SPINCOUNT: '20000', OPENBLAS_THREAD_TIMEOUT: '18' }

function load(): Native {
  for (const [name, value] of Object.entries(THREAD_PATIENCE)) process.env[name] ??= value
  if (!existsSync(BINARY))
    throw new HearthError(`the native module is not built: ${BINARY} is missing`, { remedy: 'run `npm run setup`' })
  try {
    return createRequire(import.meta.url)(BINARY) as Native
  } catch (cause) {
    throw new HearthError(`the native module does not load: ${(cause as Error).message}`, {
      cause,
      remedy: 'run `npm run setup`: it builds against the libtorch that is installed now',
    })
  }
}

export const native: Native = load()
native.setErrorFactory(makeError)
native.setWarningListener(warn)

/**
 * The operator `name.overload`, looked up once.
 * @throws TorchError when the loaded libtorch does not have it.
 */
export function bind(name: string, overload: string): NativeOperator {
  const operator = native.bindOperator(name, overload)
  if (operator === undefined) {
    const full = overload === '' ? name : `${name}.${overload}`
    throw new TorchError(`libtorch ${native.torchVersion()} has no operator ${full}`, full, {
      remedy: 'use a supported libtorch (1.13 or 2.x), or take the operator out of packages/torch/schema/ops.txt',
    })
  }
  return operator
}
