/**
 * The stack machine of Python's pickle, as far as files of tensors use it: opcodes that build plain data, calls of the
 * few functions of globals.ts, and references to storages. Every other opcode is refused. What a stream can take of
 * memory is capped, whatever its length. Source: Python's pickletools, which documents every opcode.
 */
import { FormatError } from '@hearth/torch'
import { PickleBytes } from './bytes.js'
import { globalNamed } from './globals.js'
import { Callable, describe, Dict, Tuple, type Refuse, type Value } from './values.js'

/** Resolves the reference to something outside of the stream: a storage. */
export type Persistent = (id: Value, refuse: Refuse) => Value

/** What a stream may take of memory, reckoned generously: state dicts of the largest models need a tenth. */
const MEMORY = 48 * 2 ** 20
const OBJECT_BYTES = 128
const MARK = Symbol('mark')

export class PickleMachine {
  readonly bytes: PickleBytes
  readonly refuse: Refuse
  readonly persistent: Persistent
  readonly #stack: (Value | typeof MARK)[] = []
  readonly #memo = new Map<number, Value>()
  #left = MEMORY

  constructor(where: string, bytes: Uint8Array, start: number, persistent: Persistent) {
    this.refuse = (got, expected) =>
      new FormatError(`${where}: byte ${this.bytes.at} of its pickle: got ${got}, expected ${expected}`, {
        remedy: 'get the weights as safetensors, or save them again with torch.save(model.state_dict(), path)',
      })
    this.bytes = new PickleBytes(bytes, start, this.refuse)
    this.persistent = persistent
  }

  push(value: Value): void {
    this.#charge(value)
    this.#stack.push(value)
  }

  pushMark(): void {
    this.#charge(null)
    this.#stack.push(MARK)
  }

  pop(): Value {
    const value = this.#stack.pop()
    if (value === undefined || value === MARK) throw this.refuse('an empty stack', 'a value on it')
    return value
  }

  top(): Value {
    const value = this.#stack.at(-1)
    if (value === undefined || value === MARK) throw this.refuse('an empty stack', 'a value on it')
    return value
  }

  /** All values above the last mark. */
  popToMark(): Value[] {
    const mark = this.#stack.lastIndexOf(MARK)
    if (mark < 0) throw this.refuse('no mark on the stack', 'one')
    const values = this.#stack.splice(mark) as Value[]
    values.shift()
    return values
  }

  remember(index: number): void {
    this.#charge(null)
    this.#memo.set(index, this.top())
  }

  /** The number that MEMOIZE gives. */
  get memoized(): number {
    return this.#memo.size
  }

  recall(index: number): void {
    const value = this.#memo.get(index)
    if (value === undefined) throw this.refuse(`the memo's place ${index}`, 'one that was written')
    this.#stack.push(value)
    this.#left -= 8
  }

  // Texts and objects stay until the end, so what was taken is never given back.
  #charge(value: Value): void {
    this.#left -= typeof value === 'string' ? 32 + 2 * value.length : OBJECT_BYTES
    if (this.#left < 0)
      throw this.refuse('more values than any state dict holds', `at most ${MEMORY >> 20} MiB of them`)
  }
}

type Step = (machine: PickleMachine) => void

const tuple =
  (count: number): Step =>
  (machine) => {
    const items = Array.from({ length: count }, () => machine.pop()).reverse()
    machine.push(new Tuple(items))
  }

const global = (machine: PickleMachine, module: Value, name: Value): void => {
  if (typeof module !== 'string' || typeof name !== 'string') throw machine.refuse(describe(name), 'a name')
  const found = globalNamed(module, name)
  if (found === undefined)
    throw machine.refuse(
      `the name ${describe(`${module}.${name}`)}, which Python would load and run`,
      'only what tensors are made of',
    )
  machine.push(found)
}

function setItems(machine: PickleMachine, values: readonly Value[]): void {
  const target = machine.top()
  if (!(target instanceof Dict)) throw machine.refuse(describe(target), 'a dict to set items of')
  if (values.length % 2 === 1) throw machine.refuse('a key without a value', 'pairs')
  for (let i = 0; i < values.length; i += 2) target.set(values[i]!, values[i + 1]!)
}

function append(machine: PickleMachine, values: readonly Value[]): void {
  const target = machine.top()
  if (!Array.isArray(target)) throw machine.refuse(describe(target), 'a list to append to')
  for (const value of values) target.push(value)
}

function reduce(machine: PickleMachine): void {
  const args = machine.pop()
  const callable = machine.pop()
  if (!(args instanceof Tuple)) throw machine.refuse(describe(args), 'a tuple of arguments')
  if (!(callable instanceof Callable)) throw machine.refuse(`a call of ${describe(callable)}`, 'a function')
  machine.push(callable.call(args.items, machine.refuse))
}

/** The attributes that torch gives a state dict (`_metadata`) say nothing about its tensors. */
function build(machine: PickleMachine): void {
  machine.pop()
  const target = machine.top()
  if (!(target instanceof Dict)) throw machine.refuse(`attributes of ${describe(target)}`, 'none but those of a dict')
}

const long1: Step = (m) => m.push(m.bytes.long(m.bytes.byte()))

/** By the letters that pickletools gives the opcodes. */
const STEPS = new Map<number, Step>(
  Object.entries<Step>({
    '\x80': (m) => {
      const protocol = m.bytes.byte()
      if (protocol > 5) throw m.refuse(`protocol ${protocol}`, 'at most 5')
    },
    '\x95': (m) => void m.bytes.uint64(), // a frame: its length is no concern of ours
    '(': (m) => m.pushMark(),
    N: (m) => m.push(null),
    '\x88': (m) => m.push(true),
    '\x89': (m) => m.push(false),
    J: (m) => m.push(m.bytes.int32()),
    K: (m) => m.push(m.bytes.byte()),
    M: (m) => m.push(m.bytes.uint16()),
    '\x8a': long1,
    G: (m) => m.push(m.bytes.float64()),
    X: (m) => m.push(m.bytes.text(m.bytes.uint32())),
    '\x8c': (m) => m.push(m.bytes.text(m.bytes.byte())),
    U: (m) => m.push(m.bytes.text(m.bytes.byte())), // Python 2's str
    ')': tuple(0),
    '\x85': tuple(1),
    '\x86': tuple(2),
    '\x87': tuple(3),
    t: (m) => m.push(new Tuple(m.popToMark())),
    ']': (m) => m.push([]),
    '}': (m) => m.push(new Dict()),
    a: (m) => {
      const value = m.pop()
      append(m, [value])
    },
    e: (m) => append(m, m.popToMark()),
    s: (m) => {
      const value = m.pop()
      const key = m.pop()
      setItems(m, [key, value])
    },
    u: (m) => setItems(m, m.popToMark()),
    q: (m) => m.remember(m.bytes.byte()),
    r: (m) => m.remember(m.bytes.uint32()),
    '\x94': (m) => m.remember(m.memoized),
    h: (m) => m.recall(m.bytes.byte()),
    j: (m) => m.recall(m.bytes.uint32()),
    c: (m) => global(m, m.bytes.line(), m.bytes.line()),
    '\x93': (m) => {
      const name = m.pop()
      global(m, m.pop(), name)
    },
    Q: (m) => m.push(m.persistent(m.pop(), m.refuse)),
    R: reduce,
    b: build,
  }).map(([letter, step]) => [letter.charCodeAt(0), step]),
)

const STOP = '.'.charCodeAt(0)

/**
 * Reads one pickle.
 * @param where names the file in errors
 * @returns its value, and where the bytes after it begin
 * @throws FormatError on the first thing that is malformed or not allowed
 */
export function readPickle(
  where: string,
  bytes: Uint8Array,
  { start = 0, persistent }: { start?: number; persistent: Persistent },
): { value: Value; end: number } {
  const machine = new PickleMachine(where, bytes, start, persistent)
  for (;;) {
    const opcode = machine.bytes.byte()
    if (opcode === STOP) return { value: machine.pop(), end: machine.bytes.at }
    const step = STEPS.get(opcode)
    if (step === undefined) throw machine.refuse(`opcode 0x${opcode.toString(16)}`, 'one that plain data needs')
    step(machine)
  }
}
