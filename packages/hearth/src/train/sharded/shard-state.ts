// One rank's shard of the training state, in two banks of a state file of its own: a step reads the committed bank and
// writes the other, so a process that dies leaves a whole step behind, and its successor maps it and goes on. With offload
// to disk the file is mapped for one unit at a time, so that no more of it stays in memory.
// Not here: what an update is (hearth/optim), which step all ranks go on from (sharded-trainer.ts).
import {
  CheckpointError,
  ConfigError,
  empty,
  noGrad,
  scope,
  type SafetensorsDescription,
  type Tensor,
} from '@hearth/torch'
import { StateFile, type Committed, type Json } from '../../checkpoint/index.js'
import type { Optimizer } from '../../optim/index.js'
import { hashesOf, type Hashes } from '../bank-hashes.js'
import type { Named } from '../gradients.js'
import { pieceShape, unitsOf, type Piece, type ShardLayout, type Unit } from './layout.js'
import type { Offload } from './stages.js'

/** A unit's pieces in one bank: master weights by path, moments by `<kind>.<path>`. */
export interface ShardTensors {
  weights: Named
  moments: Named
}

export interface ShardStateOptions {
  /** Where the file is, or is to be. */
  path: string
  layout: ShardLayout
  /** Which of the layout's shards. */
  shard: number
  /** Names everything that decides the bits: a state of another run is refused. */
  hash: string
  offload: Offload
}

/** What a commit says besides its step: also all of the one before, to which a rank may have to go back. */
interface Meta {
  own: Json
  previous?: { step: number; bank: number; own: Json }
}

const BANKS = 2
const WEIGHTS = 'weights.'
const MOMENTS = 'optimizer.'

export class ShardState {
  readonly layout: ShardLayout
  readonly shard: number
  readonly offload: Offload
  readonly #options: ShardStateOptions
  readonly #file: StateFile
  /** Names of a unit's moments, without `optimizer.`. */
  readonly #moments: ReadonlyMap<Unit, readonly string[]>

  private constructor(options: ShardStateOptions, file: StateFile) {
    this.#options = options
    this.#file = file
    this.layout = options.layout
    this.shard = options.shard
    this.offload = options.offload
    const moments = file.names.filter((name) => name.startsWith(MOMENTS)).map((name) => name.slice(MOMENTS.length))
    const unitOf = new Map(unitsOf(this.layout).flatMap((unit) => this.piecesOf(unit).map(({ path }) => [path, unit])))
    const namesOf = (unit: Unit) => moments.filter((name) => unitOf.get(pathOf(name)) === unit)
    this.#moments = new Map(unitsOf(this.layout).map((unit) => [unit, namesOf(unit)]))
  }

  /**
   * Makes the file, with zeros everywhere and nothing committed.
   * @throws CheckpointError when there is no room for it
   */
  static create(options: ShardStateOptions & { optimizer: Optimizer }): ShardState {
    const tensors = describeShard(options)
    StateFile.create(options.path, { tensors, config: options.hash, banks: BANKS }).close()
    return ShardState.open(options)
  }

  /** @throws CheckpointError when it is not the state of this run */
  static open(options: ShardStateOptions): ShardState {
    const file = StateFile.open(options.path, { config: options.hash })
    const pieces = unitsOf(options.layout).flatMap((unit) => unit.shards[options.shard]!)
    const names = new Set(file.names)
    if (pieces.every(({ path }) => names.has(WEIGHTS + path))) return new ShardState(options, file)
    file.close()
    throw new CheckpointError(`${options.path} holds another shard than that of rank ${options.shard}`, {
      remedy: 'remove it and resume the run from its last checkpoint',
    })
  }

  get committed(): Committed | undefined {
    return this.#file.committed
  }

  /** The pieces of a unit that this shard has. */
  piecesOf(unit: Unit): readonly Piece[] {
    return unit.shards[this.shard]!
  }

  /** Reads a unit's tensors in the committed bank; they are of no more use when `use` returns, unless kept. */
  read<T>(unit: Unit, use: (tensors: ShardTensors) => T): T {
    return this.#mapped((file) => use(this.#tensors(file, unit, this.#bank)))
  }

  /**
   * As read(), of a step that is the newest or the one before it: for who copies a state while the next step is done.
   * @throws CheckpointError when it is neither
   */
  readAt<T>(step: number, unit: Unit, use: (tensors: ShardTensors) => T): T {
    const bank = bankOf(this.committed!, step)
    if (bank === undefined)
      throw new CheckpointError(
        `the shard of rank ${this.shard} has left step ${step} behind: it is at ${this.committed!.step}`,
      )
    return this.#mapped((file) => use(this.#tensors(file, unit, bank)))
  }

  /** Of a step that is the newest or the one before it, by the names in checkpoints; pieces of a tensor have its name. */
  hashesAt(step: number): Hashes {
    const of = (unit: Unit) =>
      this.readAt(step, unit, ({ weights, moments }) => ({
        ...withPrefix(WEIGHTS, hashesOf(weights)),
        ...withPrefix(MOMENTS, hashesOf(moments)),
      }))
    return Object.assign({}, ...unitsOf(this.layout).map(of)) as Hashes
  }

  /** A unit's tensors in the committed bank, over the file's own memory: the caller disposes of them. */
  view(unit: Unit): ShardTensors {
    return this.#tensors(this.#file, unit, this.#bank)
  }

  /** Writes a unit's tensors of the next step from those of the committed one. */
  update(unit: Unit, write: (from: ShardTensors, into: ShardTensors) => void): void {
    const bank = this.#bank
    this.#mapped((file) => write(this.#tensors(file, unit, bank), this.#tensors(file, unit, 1 - bank)))
  }

  /** Publishes what update() wrote. */
  commit(step: number, own: Json): void {
    const { step: before, bank, meta } = this.committed!
    const previous = { step: before, bank, own: (meta as unknown as Meta).own }
    this.#file.commit(step, 1 - bank, { own, previous })
  }

  /**
   * Goes back to an earlier step where another rank did not get further.
   * @throws CheckpointError when it is not the one before
   */
  goBackTo(step: number): void {
    const { previous } = this.committed!.meta as unknown as Meta
    if (this.committed!.step === step) return
    if (previous?.step !== step)
      throw new CheckpointError(
        `the shard of rank ${this.shard} is at step ${this.committed!.step}, the others go on from step ${step}`,
        { remedy: 'resume the run from its last checkpoint' },
      )
    this.#file.commit(previous.step, previous.bank, { own: previous.own })
  }

  /**
   * Begins with the values of a whole state, of which it takes its pieces one by one.
   * @param own committed with it
   * @param source a whole tensor by its name in checkpoints, `weights.<path>` or `optimizer.<kind>.<path>`; undefined leaves zeros
   */
  fill(step: number, own: Json, source: (name: string) => Tensor | undefined): void {
    for (const unit of unitsOf(this.layout))
      for (const piece of this.piecesOf(unit)) {
        const moments = this.#moments.get(unit)!.filter((name) => pathOf(name) === piece.path)
        const names = [WEIGHTS + piece.path, ...moments.map((name) => MOMENTS + name)]
        this.#mapped((file) =>
          names.forEach((name) => {
            const whole = source(name)
            const target = file.tensor(0, name).view([-1])
            if (whole) target.copy_(whole.reshape([-1]).narrow(0, piece.start, piece.end - piece.start))
          }),
        )
      }
    this.#file.commit(step, 0, { own })
  }

  /** Bytes of the two banks. */
  get nbytes(): number {
    return BANKS * scope(() => Object.values(this.#file.bank(0)).reduce((sum, { nbytes }) => sum + nbytes, 0))
  }

  close(): void {
    this.#file.close()
  }

  get #bank(): number {
    return this.committed!.bank
  }

  /** Nothing of the file stays mapped afterwards where it is offloaded. */
  #mapped<T>(use: (file: StateFile) => T): T {
    if (this.offload === 'memory') return noGrad(() => scope(() => use(this.#file)))
    const { path, hash } = this.#options
    using file = StateFile.open(path, { config: hash })
    return noGrad(() => scope(() => use(file)))
  }

  #tensors(file: StateFile, unit: Unit, bank: number): ShardTensors {
    const named = (prefix: string, names: readonly string[]) =>
      Object.fromEntries(names.map((name) => [name, file.tensor(bank, prefix + name)]))
    const paths = this.piecesOf(unit).map(({ path }) => path)
    return { weights: named(WEIGHTS, paths), moments: named(MOMENTS, this.#moments.get(unit)!) }
  }
}

const withPrefix = (prefix: string, hashes: Hashes): Hashes =>
  Object.fromEntries(Object.entries(hashes).map(([name, hash]) => [prefix + name, hash]))

/** `m.blocks.0.norm.weight` → the weight that it belongs to. */
const pathOf = (moment: string) => moment.slice(moment.indexOf('.') + 1)

/**
 * A shard's tensors, unit by unit; the optimizer is asked what it keeps of each.
 * @throws ConfigError for moments that are not one number a weight: their blocks would be cut with the weights
 */
function describeShard({ layout, shard, optimizer }: ShardStateOptions & { optimizer: Optimizer }) {
  const described: SafetensorsDescription[] = []
  for (const unit of unitsOf(layout))
    scope(() => {
      const pieces = unit.shards[shard]!
      const weights = Object.fromEntries(pieces.map((piece) => [piece.path, empty(pieceShape(piece, layout.shapes))]))
      const moments = Object.entries(optimizer.init(weights))
      if (moments.some(([, { dtype }]) => dtype !== 'float32'))
        throw new ConfigError('ranks', [{ path: 'optimizer.moments', message: '8bit has no shards yet; leave it out' }])
      for (const [name, { shape }] of [
        ...Object.entries(weights).map(([path, weight]) => [WEIGHTS + path, weight] as const),
        ...moments.map(([name, moment]) => [MOMENTS + name, moment] as const),
      ])
        described.push({ name, dtype: 'float32', shape })
    })
  return described
}

/** What was committed with a step that is the newest, or the one before it; undefined where it is neither. */
export function committedWith({ step, meta }: Committed, wanted: number): { own: Json } | undefined {
  const { own, previous } = meta as unknown as Meta
  if (step === wanted) return { own }
  return previous?.step === wanted ? { own: previous.own } : undefined
}

function bankOf({ step, bank, meta }: Committed, wanted: number): number | undefined {
  const { previous } = meta as unknown as Meta
  if (step === wanted) return bank
  return previous?.step === wanted ? previous.bank : undefined
}
