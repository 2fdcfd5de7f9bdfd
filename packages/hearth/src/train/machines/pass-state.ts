// A machine that is behind takes over the state of one that is not: block by block with a checksum each, over the group's
// own connections, from another machine when a block is damaged, and when none arrives whole, through a checkpoint on the
// storage that all share. Nothing is committed before all of it is there. Not here: when that is done (machines.ts).
import { createHash } from 'node:crypto'
import { CheckpointError, noGrad, tensor, type ProcessGroup, type Tensor } from '@hearth/torch'
import type { Json, StateFile } from '../../checkpoint/index.js'
import type { Position } from './machines.js'

const BLOCK = 2 ** 23
const HASH_BYTES = 32
const META_BYTES = 2 ** 16

/** The way through a checkpoint on storage that all machines share. */
export interface DiskPath {
  /** Saves this machine's state; false when the disk refuses. */
  write(): Promise<boolean>
  /** Commits the state of that step from there; false when it is not there whole. */
  read(step: number): Promise<boolean>
}

export interface Passing {
  state: StateFile
  positionOf: () => Position
  freeBank: () => Promise<number>
  disk: DiskPath
}

/** What was taken over. */
export interface Passed {
  /** The rank that it came from. */
  from: number | 'disk'
  step: number
  bytes: number
  seconds: number
}

/**
 * Brings every member to the newest state that one has; all call it at once.
 * @returns what this member took over, if anything
 * @throws CommError when the group breaks; CheckpointError when no member's state arrives undamaged, nor through the disk
 */
export async function passState(
  group: ProcessGroup,
  { state, positionOf, freeBank, disk }: Passing,
): Promise<Passed | undefined> {
  const mine = positionOf()
  const started = performance.now()
  const positions = await gathered(group, [mine.batch, mine.step])
  const newest = positions.reduce((most, each) => (isAhead(each, most) ? each : most))
  const ranks = positions.map((each, rank) => ({ rank, isBehind: isAhead(newest, each) }))
  const sources = ranks.filter(({ isBehind }) => !isBehind)
  let behind = ranks.filter(({ isBehind }) => isBehind)
  let passed: Passed | undefined
  for (let round = 0; behind.length > 0 && round < sources.length; round++) {
    let whole = 1
    for (const [i, { rank }] of behind.entries()) {
      const from = sources[(i + round) % sources.length]!.rank
      if (group.rank === from) await give(group, state, rank)
      if (group.rank !== rank) continue
      const bytes = await take(group, state, from, newest[1]!, await freeBank())
      whole = Number(bytes !== undefined)
      const seconds = (performance.now() - started) / 1000
      if (bytes !== undefined) passed = { from, step: newest[1]!, bytes, seconds }
    }
    const answers = await gathered(group, [whole])
    behind = behind.filter(({ rank }) => answers[rank]![0] === 0)
  }
  if (behind.length === 0) return passed
  const isMine = behind.some(({ rank }) => rank === group.rank)
  const bytes = await throughDisk(group, { writer: sources[0]!.rank, isMine, step: newest[1]!, state, disk })
  const seconds = (performance.now() - started) / 1000
  return isMine ? { from: 'disk', step: newest[1]!, bytes, seconds } : passed
}

interface ThroughDisk extends Pick<Passing, 'state' | 'disk'> {
  writer: number
  isMine: boolean
  step: number
}

/** One writes a checkpoint, and those to whom nothing came whole read it; all wait for them. */
async function throughDisk(group: ProcessGroup, { writer, isMine, step, state, disk }: ThroughDisk): Promise<number> {
  const all = async (fine: boolean) => (await gathered(group, [Number(fine)])).every(([is]) => is === 1)
  const isThere = await all(group.rank !== writer || (await disk.write()))
  if (!isThere || !(await all(!isMine || (await disk.read(step))))) throw damaged(step)
  const tensors = state.flat(state.committed!.bank, 'uint8')
  try {
    return tensors.numel
  } finally {
    tensors.dispose()
  }
}

/** By the position in the data, which also rises where the run went back; then by steps. */
const isAhead = (a: readonly number[], b: readonly number[]) => {
  const [batches, steps] = [0, 1].map((i) => a[i]! - b[i]!) as [number, number]
  return batches > 0 || (batches === 0 && steps > 0)
}

const damaged = (step: number) =>
  new CheckpointError(
    `the state of step ${step} arrives damaged from every machine that has it, also through a checkpoint`,
    {
      remedy:
        'test the memory and the network of these machines, and the disk; hearth resume goes on from the last checkpoint',
    },
  )

async function gathered(group: ProcessGroup, values: readonly number[]): Promise<number[][]> {
  const mine = tensor(Float64Array.from(values))
  const all = await group.allGather(mine)
  const rows = all.map((each) => each.toArray())
  for (const each of [mine, ...all]) each.dispose()
  return rows
}

async function give(group: ProcessGroup, state: StateFile, to: number): Promise<void> {
  const { bank, meta } = state.committed!
  const text = Buffer.alloc(META_BYTES)
  text.write(JSON.stringify(meta))
  const words = tensor(Uint8Array.from(text))
  await sent(group, words, to)
  words.dispose()
  for (const block of blocksOf(state, bank)) await sent(group, block, to)
}

async function sent(group: ProcessGroup, block: Tensor, to: number): Promise<void> {
  const hash = tensor(Uint8Array.from(hashOf(block)))
  await group.send(block, to)
  await group.send(hash, to)
  hash.dispose()
}

/** @returns the bytes that came; undefined when one of their blocks was damaged */
async function take(
  group: ProcessGroup,
  state: StateFile,
  from: number,
  step: number,
  bank: number,
): Promise<number | undefined> {
  const words = tensor(new Uint8Array(META_BYTES))
  let [bytes, isWhole] = [0, await received(group, words, from)]
  const text = Buffer.from(words.data() as Uint8Array).toString()
  words.dispose()
  // To the end, damaged or not: the other sends all of it.
  for (const block of blocksOf(state, bank)) {
    isWhole = (await received(group, block, from)) && isWhole
    bytes += block.numel
  }
  if (!isWhole) return undefined
  state.commit(step, bank, JSON.parse(text.replace(/\0+$/, '')) as Json)
  return bytes
}

/** @returns whether it came undamaged */
async function received(group: ProcessGroup, block: Tensor, from: number): Promise<boolean> {
  const hash = tensor(new Uint8Array(HASH_BYTES))
  await group.receive(block, from)
  await group.receive(hash, from)
  const isWhole = hashOf(block).equals(Buffer.from(hash.data() as Uint8Array))
  hash.dispose()
  return isWhole
}

function* blocksOf(state: StateFile, bank: number): Generator<Tensor> {
  const all = state.flat(bank, 'uint8')
  for (let at = 0; at < all.numel; at += BLOCK) {
    const block = noGrad(() => all.narrow(0, at, Math.min(BLOCK, all.numel - at)))
    yield block
    block.dispose()
  }
  all.dispose()
}

const hashOf = (block: Tensor): Buffer =>
  createHash('sha256')
    .update(block.data() as Uint8Array)
    .digest()
