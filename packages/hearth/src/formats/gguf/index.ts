// GGUF files, in and out.
export { readGguf, type GgufArray, type GgufEntry, type GgufFile } from './gguf-file.js'
export { openGguf } from './open-gguf.js'
export { planGguf, saveGguf, type SaveGgufOptions } from './save-gguf.js'
export { bytesOf, tensorTypes, writableTypes, type TensorType, type WritableType } from './tensor-types.js'
