// @hearth/torch: libtorch for TypeScript. Tensors, autograd, every ATen operator through one boxed call, safetensors.
export { backward, enableGrad, grad, noGrad, type BackwardOptions, type GradOptions } from './autograd.js'
export { ProcessGroup, type AllReduceOptions, type JoinOptions } from './comm.js'
export { arange, full, tensor, type CreationOptions } from './creation.js'
export { cudaDeviceCount, type Device } from './device.js'
export { arrayOf, dtypeBytes, dtypes, isFloating, type DType } from './dtype.js'
export * from './errors.js'
export { MappedFile } from './mapped-file.js'
export { type TypedArray } from './native.js'
export * from './ops.generated.js'
export { Generator, manualSeed } from './random.js'
export { RendezvousServer, type RendezvousServerOptions } from './rendezvous-server.js'
export { IDENTITY, keyOf, secretIssues, WIRE, type Rendezvous, type RendezvousAddress } from './rendezvous.js'
export { replaceFile, type Write } from './replace-file.js'
export {
  buildSummary,
  call,
  cpuFeatures,
  hasFastBfloat16,
  memoryStats,
  numThreads,
  releaseCachedMemory,
  resetPeakMemory,
  setMemoryLimit,
  setNumThreads,
  torchVersion,
  type MemoryStats,
} from './runtime.js'
export {
  formatHeader as formatSafetensorsHeader,
  readHeader as readSafetensorsHeader,
  type Described as SafetensorsDescription,
} from './safetensors-header.js'
export { readSafetensors, SafetensorsFile, writeSafetensors, type SafetensorsEntry } from './safetensors.js'
export { keep, scope } from './scope.js'
export { Tensor, type NestedNumbers } from './tensor.js'
