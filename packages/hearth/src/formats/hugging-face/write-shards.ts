// The weights of a Hugging Face folder, written tensor by tensor: one model.safetensors, or shards and their index. Of the
// numbers no more than one tensor is in memory.
import { join } from 'node:path'
import {
  dtypeBytes,
  formatSafetensorsHeader,
  noGrad,
  replaceFile,
  scope,
  type DType,
  type Tensor,
  type Write,
} from '@hearth/torch'
import { INDEX_FILE, SINGLE_FILE } from './weight-files.js'

/** A weight under its name in files. */
export interface PlannedWeight {
  name: string
  shape: readonly number[]
  dtype: DType
  /** Its numbers, in any dtype; freed after they are written. */
  read: () => Tensor
}

export const sizeOf = ({ shape, dtype }: Pick<PlannedWeight, 'shape' | 'dtype'>): number =>
  shape.reduce((product, size) => product * size, dtypeBytes(dtype))

/** The weights in order, cut where a shard would grow beyond the limit. */
function shardsOf(weights: readonly PlannedWeight[], maxShardBytes: number): PlannedWeight[][] {
  const shards: PlannedWeight[][] = [[]]
  let bytes = 0
  for (const weight of weights) {
    const size = sizeOf(weight)
    if (bytes > 0 && bytes + size > maxShardBytes) {
      shards.push([])
      bytes = 0
    }
    shards[shards.length - 1]!.push(weight)
    bytes += size
  }
  return shards
}

/** @param maxShardBytes weights beyond this many bytes go into several files */
export function writeWeights(folder: string, weights: readonly PlannedWeight[], maxShardBytes = 5e9): void {
  const shards = shardsOf(weights, maxShardBytes)
  const number = (value: number) => String(value).padStart(5, '0')
  const fileOf = (shard: number) =>
    shards.length === 1 ? SINGLE_FILE : `model-${number(shard + 1)}-of-${number(shards.length)}.safetensors`
  for (const [index, shard] of shards.entries()) writeShard(join(folder, fileOf(index)), shard)
  if (shards.length === 1) return
  const total_size = weights.reduce((total, weight) => total + sizeOf(weight), 0)
  const weight_map = Object.fromEntries(
    shards.flatMap((shard, i) => shard.map(({ name }) => [name, fileOf(i)] as const)),
  )
  writeJson(join(folder, INDEX_FILE), { metadata: { total_size }, weight_map })
}

export function writeJson(path: string, value: object): void {
  replaceFile(path, (write) => write(new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`)))
}

/** In the order of writeSafetensors(): widest elements first, then by name. */
function writeShard(path: string, shard: readonly PlannedWeight[]): void {
  const sorted = [...shard].sort((a, b) => dtypeBytes(b.dtype) - dtypeBytes(a.dtype) || (a.name < b.name ? -1 : 1))
  // transformers refuses files that do not say where they come from.
  const header = formatSafetensorsHeader(path, sorted, { format: 'pt' })
  replaceFile(path, (write) => {
    write(header)
    for (const weight of sorted) noGrad(() => scope(() => writeNumbers(weight, write)))
  })
}

/** Numbers that are cast at once: a cast needs no second copy of the whole tensor. */
const PIECE = 2 ** 24

function writeNumbers({ dtype, read }: PlannedWeight, write: Write): void {
  const flat = read().to({ device: 'cpu' }).contiguous().view([-1])
  for (let start = 0; start < flat.numel; start += PIECE)
    scope(() => {
      const piece = flat.slice({ start, end: Math.min(start + PIECE, flat.numel) }).to(dtype)
      const data = piece.data()
      write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    })
}
