// Work in a group of processes: the collectives of libtorch's c10d (Gloo, for CPU tensors) as promises. A thread of the
// group's own waits; this one goes on. Not here: who the members are and what to do when one is lost (hearth/cluster).
import { randomBytes } from 'node:crypto'
import { CommError, ConfigError, HearthError, type ConfigIssue } from './errors.js'
import { native } from './native.js'
import { RendezvousClient, secretIssues, type Rendezvous, type RendezvousAddress } from './rendezvous.js'
import { Tensor } from './tensor.js'

export interface JoinOptions {
  /** The directory in which the members find each other: where one is served, or one of another kind. */
  store: RendezvousAddress | Rendezvous
  /** This member's number: 0 to size - 1, another for each. */
  rank: number
  size: number
  /** How long to wait for the others: all of them while joining, any one in the middle of an operation. */
  timeoutSeconds: number
  /** Another time for the middle of an operation: for members that do long work between the operations. */
  operationTimeoutSeconds?: number
  /** Gives up joining. */
  signal?: AbortSignal
  /** Which forming of the group this is; one more each time that it is formed anew. */
  generation: number
  /** The address of this machine that the others reach; loopback unless another is given. */
  address?: string
}

export interface AllReduceOptions {
  reduction?: 'sum' | 'min' | 'max'
}

const VERSION = 1
const MOST_MEMBERS = 1024
const LONGEST_SECONDS = 86_400

/**
 * One process's membership in a group. All members call the same operations in the same order, with tensors of the same
 * shape and dtype: members that differ are told so and may go on. Whatever else fails, a member that is gone, late or
 * aborts, ends the group in all members at once; they then join its next generation.
 * Every operation rejects with `CommError`, or with `TorchError` where the tensor would not do in any group.
 * @example
 * const group = await ProcessGroup.join({ store: { host, port, secret }, rank, size: 2, timeoutSeconds: 30, generation: 0 })
 * await group.sumInOrder(gradient)
 * await group.leave()
 */
export class ProcessGroup {
  readonly rank: number
  readonly size: number
  readonly #group: number
  /** Why it is no longer of use. */
  #over: { message: string; peers: readonly number[] } | undefined
  #departure: Promise<void> | undefined

  private constructor(group: number, { rank, size }: JoinOptions) {
    this.#group = group
    this.rank = rank
    this.size = size
  }

  /** Whether this build of Hearth has collectives. */
  static get available(): boolean {
    return native.hasCollectives()
  }

  /**
   * Waits for all members and connects with each.
   * @throws ConfigError for options that cannot be; CommError when not all came in time, when the secret is another one,
   * or when this generation is over or its rank is taken.
   */
  static async join(options: JoinOptions): Promise<ProcessGroup> {
    checkOptions(options)
    const started = performance.now()
    const late = new AbortController()
    const giveUp = () => late.abort()
    const timer = setTimeout(giveUp, options.timeoutSeconds * 1000)
    options.signal?.addEventListener('abort', giveUp, { once: true })
    if (options.signal?.aborted) giveUp()
    let store: Rendezvous | undefined
    try {
      store = 'port' in options.store ? await RendezvousClient.connect(options.store, late.signal) : options.store
      await assemble(store, options, late.signal)
      return await ProcessGroup.#connect(store, options, late.signal)
    } catch (cause) {
      const [message, peers] = cause instanceof Failure ? [cause.message, cause.peers] : [messageOf(cause), []]
      throw failed('join', options, started, message, peers, { cause })
    } finally {
      clearTimeout(timer)
      options.signal?.removeEventListener('abort', giveUp)
      if ('port' in options.store) store?.close()
    }
  }

  static async #connect(store: Rendezvous, options: JoinOptions, late: AbortSignal): Promise<ProcessGroup> {
    const { rank, size, generation, address = '127.0.0.1' } = options
    const { timeoutSeconds, operationTimeoutSeconds = timeoutSeconds } = options
    const ask = (id: number, key: string, value: Uint8Array | undefined) => {
      const name = `${generation}/mesh/${key}`
      const asked = value === undefined ? store.get(name) : store.set(name, value).then(() => undefined)
      asked.then(
        (found) => native.answerGroup(handle, id, found, ''),
        (error: unknown) => native.answerGroup(handle, id, undefined, messageOf(error)),
      )
    }
    const [handle, joined] = native.joinGroup(ask, rank, size, Math.ceil(operationTimeoutSeconds * 1000), address)
    const group = new ProcessGroup(handle, options)
    const stop = () => native.abortGroup(handle, 'not all members connected in time')
    late.addEventListener('abort', stop, { once: true })
    try {
      if (late.aborted) stop()
      await joined
      return group
    } catch (raw) {
      await group.leave()
      throw new Failure(...(raw as [string, number[]]))
    } finally {
      late.removeEventListener('abort', stop)
    }
  }

  /** Every member's tensor becomes the root's. */
  async broadcast(tensor: Tensor, root: number): Promise<void> {
    await this.#run('broadcast', tensor, root)
  }

  /**
   * Every member's tensor becomes the sum (or minimum, or maximum) of all, with the same bits in all members; which bits
   * depends on how many there are: see sumInOrder(). float16 and bfloat16 are summed in float32.
   */
  async allReduce(tensor: Tensor, { reduction = 'sum' }: AllReduceOptions = {}): Promise<void> {
    await this.#run('allReduce', tensor, 0, reduction)
  }

  /**
   * Every member's tensor becomes the sum of all, added as a binary tree over the ranks: ((0+1)+(2+3))+... Where each
   * member's own tensor is such a sum over a power of two of slots, the bits do not depend on the number of members.
   */
  async sumInOrder(tensor: Tensor): Promise<void> {
    await this.#run('sumInOrder', tensor)
  }

  /** The tensors of all members, by rank. */
  allGather(tensor: Tensor): Promise<Tensor[]> {
    return this.#run('allGather', tensor)
  }

  /** The tensors of all members, by rank, at the root; undefined elsewhere. */
  async gather(tensor: Tensor, root: number): Promise<Tensor[] | undefined> {
    const all = await this.#run('gather', tensor, root)
    return this.rank === root ? all : undefined
  }

  /**
   * The sum of all members' tensors (N, ...), of which each gets its part (N / size, ...); added in the order of
   * sumInOrder(), so that it has the same bits.
   */
  async reduceScatter(tensor: Tensor): Promise<Tensor> {
    const [part] = await this.#run('reduceScatter', tensor)
    return part!
  }

  /** Sends to a member that receives into a tensor of the same shape and dtype. Messages arrive in the order of the calls. */
  async send(tensor: Tensor, destination: number): Promise<void> {
    await this.#settled('send', () => native.transferTensor(this.#group, tensor.handle, destination, true))
  }

  /** Fills the tensor with the one that a member sends. */
  async receive(tensor: Tensor, source: number): Promise<void> {
    await this.#settled('receive', () => native.transferTensor(this.#group, tensor.handle, source, false))
  }

  /** Resolves when all members have called it. */
  async barrier(): Promise<void> {
    await this.#run('barrier')
  }

  /** Ends what is under way, here and in all other members, and leaves the group. */
  abort(reason = 'aborted'): void {
    if (this.#departure !== undefined) return
    native.abortGroup(this.#group, reason)
    this.#over ??= { message: reason, peers: [] }
    void this.leave()
  }

  /** Finishes what is under way and leaves the group; the others can go on with what does not need this member. */
  leave(): Promise<void> {
    this.#over ??= { message: 'it was left', peers: [] }
    return (this.#departure ??= native.leaveGroup(this.#group).then(() => native.releaseGroup(this.#group)))
  }

  async #run(operation: string, tensor?: Tensor, root = 0, reduction = 'sum'): Promise<Tensor[]> {
    const handles = await this.#settled(operation, () =>
      native.runCollective(this.#group, operation, tensor?.handle, root, reduction),
    )
    return handles.map((handle) => new Tensor(handle))
  }

  async #settled<T>(operation: string, start: () => Promise<T>): Promise<T> {
    const started = performance.now()
    if (this.#over !== undefined) throw failed(operation, this, started, `the group is over: ${this.#over.message}`)
    const promise = start()
    try {
      return await promise
    } catch (raw) {
      const [message, peers, over] = raw as [string, number[], boolean]
      if (!over) throw failed(operation, this, started, message, peers, { remedy: SAME_CALLS })
      this.#over ??= { message, peers }
      // Its threads and connections are of no more use.
      void this.leave()
      throw failed(operation, this, started, message, peers, { remedy: JOIN_AGAIN })
    }
  }
}

const SAME_CALLS = 'let all members call the same operations, in the same order, with the same shapes and dtypes'
const JOIN_AGAIN = 'join the next generation of the group with the members that are left'

const messageOf = (error: unknown) => (error instanceof Error && error.message) || 'the rendezvous failed'

/** A failure that knows to whom it is due. */
class Failure extends Error {
  readonly peers: readonly number[]

  constructor(message: string, peers: readonly number[]) {
    super(message)
    this.peers = peers
  }
}

function failed(
  operation: string,
  { rank, size }: { rank: number; size: number },
  started: number,
  message: string,
  peers: readonly number[] = [],
  options: { remedy?: string; cause?: unknown } = {},
): CommError {
  const seconds = (performance.now() - started) / 1000
  const text = `${operation} of rank ${rank} in a group of ${size} failed after ${seconds.toFixed(2)} s: ${message}`
  return new CommError(text, { operation, peers, seconds, ...options })
}

/** Every member says that it is there, and waits for all others to say so. */
async function assemble(store: Rendezvous, { rank, size, generation }: JoinOptions, late: AbortSignal): Promise<void> {
  const missing = new Set(Array.from({ length: size }, (_, member) => member))
  const greeting = Buffer.from(`${VERSION} ${size} ${randomBytes(16).toString('hex')}`)
  const out = new Promise<never>((_, reject) => {
    const stop = () => reject(new Failure(`${listOf([...missing])} did not come`, [...missing]))
    if (late.aborted) stop()
    else late.addEventListener('abort', stop, { once: true })
  })
  const greet = async () => {
    await store.set(`${generation}/member/${rank}`, greeting).catch((cause: unknown) => {
      const message = messageOf(cause)
      throw new Failure(message.includes('is taken') ? `another process has rank ${rank}` : message, [])
    })
    await Promise.all(
      [...missing].map(async (member) => {
        checkGreeting(member, size, Buffer.from(await store.get(`${generation}/member/${member}`)).toString())
        missing.delete(member)
      }),
    )
  }
  await Promise.race([greet(), out])
}

function checkGreeting(member: number, size: number, greeting: string): void {
  const [, version, theirs] = /^(\d{1,9}) (\d{1,9}) [0-9a-f]{32}$/.exec(greeting) ?? []
  if (version === undefined) throw new Failure(`rank ${member} is no Hearth process`, [member])
  if (Number(version) !== VERSION) throw new Failure(`rank ${member} runs another version of Hearth`, [member])
  if (Number(theirs) !== size)
    throw new Failure(`rank ${member} joins a group of ${theirs}, this one of ${size}`, [member])
}

const listOf = (ranks: readonly number[]) => `rank${ranks.length === 1 ? '' : 's'} ${ranks.join(', ')}`

function checkOptions(options: JoinOptions): void {
  const { store, rank, size, timeoutSeconds, operationTimeoutSeconds, generation, address } = options
  if (!ProcessGroup.available)
    throw new HearthError('this build has no collectives: set-up found no headers of Gloo beside libtorch', {
      remedy: 'on Debian and Ubuntu: apt-get install libgloo-dev && npm run setup',
    })
  const issues: ConfigIssue[] = []
  const expect = (holds: boolean, path: string, message: string) => holds || issues.push({ path, message })
  const isWhole = (value: number, least: number, most: number) =>
    Number.isInteger(value) && value >= least && value <= most
  expect(isWhole(size, 1, MOST_MEMBERS), 'size', `expected a whole number from 1 to ${MOST_MEMBERS}, got ${size}`)
  expect(isWhole(rank, 0, size - 1), 'rank', `expected a whole number below size, ${size}, got ${rank}`)
  expect(isWhole(generation, 0, 1e14), 'generation', `expected a whole number from 0, got ${generation}`)
  const times = { timeoutSeconds, ...(operationTimeoutSeconds !== undefined && { operationTimeoutSeconds }) }
  for (const [path, seconds] of Object.entries(times))
    expect(seconds > 0 && seconds <= LONGEST_SECONDS, path, `expected seconds up to ${LONGEST_SECONDS}, got ${seconds}`)
  if ('port' in store) {
    const reachable = [store.host, address ?? store.host].find((host) => secretIssues(host, undefined).length > 0)
    issues.push(...secretIssues(reachable ?? store.host, store.secret, 'store.secret'))
  }
  if (issues.length > 0) throw new ConfigError('joining a group', issues)
}
