// The types of tensors that GGUF files hold, of those that ggml has: which numbers, in which blocks. Ids and sizes are
// ggml's (ggml.h). Not here: the loops over blocks, which are native (hearth::decode_blocks, hearth::encode_blocks).
import type { DType } from '@hearth/torch'

/** Types that can be written. */
export const writableTypes = ['F32', 'F16', 'BF16', 'Q8_0', 'Q6_K', 'Q4_K', 'Q4_0'] as const
export type WritableType = (typeof writableTypes)[number]
export type TensorType = WritableType | 'Q4_1' | 'Q5_0' | 'Q5_1' | 'Q2_K' | 'Q3_K' | 'Q5_K' | 'Q8_K'

export interface TensorTypeFacts {
  id: number
  /** Numbers in a block, and its bytes. */
  elements: number
  bytes: number
  /** Where a tensor of libtorch can have the same bytes. */
  dtype?: DType
  /** What `general.file_type` says of a file that is mostly of it. */
  fileType?: number
}

export const tensorTypes: Readonly<Record<TensorType, TensorTypeFacts>> = {
  F32: { id: 0, elements: 1, bytes: 4, dtype: 'float32', fileType: 0 },
  F16: { id: 1, elements: 1, bytes: 2, dtype: 'float16', fileType: 1 },
  Q4_0: { id: 2, elements: 32, bytes: 18, fileType: 2 },
  Q4_1: { id: 3, elements: 32, bytes: 20 },
  Q5_0: { id: 6, elements: 32, bytes: 22 },
  Q5_1: { id: 7, elements: 32, bytes: 24 },
  Q8_0: { id: 8, elements: 32, bytes: 34, fileType: 7 },
  Q2_K: { id: 10, elements: 256, bytes: 84 },
  Q3_K: { id: 11, elements: 256, bytes: 110 },
  Q4_K: { id: 12, elements: 256, bytes: 144, fileType: 15 },
  Q5_K: { id: 13, elements: 256, bytes: 176 },
  Q6_K: { id: 14, elements: 256, bytes: 210, fileType: 18 },
  Q8_K: { id: 15, elements: 256, bytes: 292 },
  BF16: { id: 30, elements: 1, bytes: 2, dtype: 'bfloat16', fileType: 32 },
}

const BY_ID = new Map((Object.keys(tensorTypes) as TensorType[]).map((type) => [tensorTypes[type].id, type]))

/** Undefined for types that are not read (IQ, TQ, MXFP4, ...). */
export const tensorTypeOf = (id: number): TensorType | undefined => BY_ID.get(id)

/** Bytes of so many numbers, which fill whole blocks. */
export const bytesOf = (type: TensorType, elements: number): number =>
  (elements / tensorTypes[type].elements) * tensorTypes[type].bytes
