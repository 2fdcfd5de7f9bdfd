// How tensors are laid out in the files of a checkpoint: which tensor goes into which file, and each file as a sequence
// of blocks that are views of the tensors' own memory. Not here: writing them (durable-file.ts).
import { dtypeBytes, formatSafetensorsHeader, noGrad, scope } from '@hearth/torch'
import type { Tensor } from '@hearth/torch'

/** One file to be: safetensors, its tensors in the order of their bytes. */
export interface Shard {
  readonly file: string
  readonly tensors: readonly (readonly [name: string, tensor: Tensor])[]
}

/**
 * Deals tensors out to files of at most `shardBytes` bytes of data each; a larger tensor has a file to itself.
 * The layout depends only on names, shapes and dtypes: widest elements first, so that all are aligned, then by name.
 */
export function planShards(tensors: Readonly<Record<string, Tensor>>, shardBytes: number): Shard[] {
  const entries = Object.entries(tensors)
  const width = (tensor: Tensor) => dtypeBytes(tensor.dtype)
  entries.sort(([a, x], [b, y]) => width(y) - width(x) || (a < b ? -1 : 1))
  const groups: [string, Tensor][][] = [[]]
  let filled = 0
  for (const entry of entries) {
    const { nbytes } = entry[1]
    if (filled > 0 && filled + nbytes > shardBytes) {
      groups.push([])
      filled = 0
    }
    groups.at(-1)!.push(entry)
    filled += nbytes
  }
  const digits = (n: number) => String(n).padStart(5, '0')
  return groups.map((group, index) => ({
    file: `state-${digits(index + 1)}-of-${digits(groups.length)}.safetensors`,
    tensors: group,
  }))
}

/**
 * A shard as blocks of exactly `blockBytes` bytes, the last one shorter. A block inside one tensor is a view of that
 * tensor's memory; only blocks that hold several pieces are gathered in a buffer of their own.
 */
export function* blocksOf(shard: Shard, blockBytes: number): Generator<Uint8Array> {
  let gathered: Uint8Array[] = []
  let room = blockBytes
  for (const piece of piecesOf(shard)) {
    let at = 0
    while (piece.length - at >= room) {
      gathered.push(piece.subarray(at, at + room))
      yield join(gathered)
      at += room
      gathered = []
      room = blockBytes
    }
    if (at < piece.length) gathered.push(piece.subarray(at))
    room -= piece.length - at
  }
  if (room < blockBytes) yield join(gathered)
}

const join = (pieces: Uint8Array[]): Uint8Array => (pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces))

function* piecesOf(shard: Shard): Generator<Uint8Array> {
  const described = shard.tensors.map(([name, { dtype, shape }]) => ({ name, dtype, shape }))
  yield formatSafetensorsHeader(shard.file, described, { format: 'pt' })
  for (const [, tensor] of shard.tensors) yield* bytesOf(tensor)
}

// Typed arrays end at 2^32 elements in Node 20.
const PIECE_ELEMENTS = 2 ** 30

/** The tensor's memory, without a copy where it is contiguous and on the CPU. */
function* bytesOf(tensor: Tensor): Generator<Uint8Array> {
  for (let start = 0; start < tensor.numel; start += PIECE_ELEMENTS) {
    const end = Math.min(start + PIECE_ELEMENTS, tensor.numel)
    yield noGrad(() => scope(() => pieceOf(tensor, start, end)))
  }
}

function pieceOf(tensor: Tensor, start: number, end: number): Uint8Array {
  const flat = tensor.to({ device: 'cpu' }).contiguous().view([-1])
  const { buffer, byteOffset, byteLength } = flat.slice({ start, end }).data()
  return new Uint8Array(buffer, byteOffset, byteLength)
}
