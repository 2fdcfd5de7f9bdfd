// Who frees a tensor. Inside a scope: the scope, when it ends. Outside any: the garbage collector, as a net.
// A scope is synchronous: code that waits would let others create tensors in it.
import { HearthError } from './errors.js'
import { native } from './native.js'
import type { Tensor } from './tensor.js'

// The tensors of all open scopes, one after the other: a scope is where its own begin. One list that is never shrunk,
// because making and growing one for each scope took longer than the scope's other work.
const owned: (Tensor | undefined)[] = []
let count = 0
let begin = -1
let released = new Float64Array(1024)

/** No scope is open. */
const OUTSIDE = -1

/** A tensor that no scope frees. The registry holds this, and not the tensor. */
export interface Watched {
  handle: number
  bytes: number
}

const collected = new FinalizationRegistry<Watched>(release)

/** Leaves the tensor to the garbage collector, and tells it how much memory hangs on the small object it sees. */
function watch(tensor: Tensor): void {
  tensor.watched = { handle: tensor.handle, bytes: native.watch(tensor.handle) }
  collected.register(tensor, tensor.watched)
}

/** Frees a watched tensor, once. It stays registered: to take it out would cost every tensor more than it saves. */
export function release(watched: Watched): void {
  if (watched.handle === 0) return
  native.unwatch(watched.handle, watched.bytes)
  watched.handle = 0
}

/** Called by every new Tensor. */
export function track(tensor: Tensor): void {
  if (begin === OUTSIDE) watch(tensor)
  else owned[count++] = tensor
}

/** Ends the innermost scope: frees its tensors, with one native call for all, and hands `kept` on to the one around. */
function end(from: number, outer: number, kept: ReadonlySet<Tensor> | undefined): void {
  const to = count
  if (released.length < to - from) released = new Float64Array((to - from) * 2)
  let freed = 0
  count = from
  begin = outer
  for (let i = from; i < to; i++) {
    const tensor = owned[i]!
    // Reachable from here, a tensor that lives on would never be collected.
    owned[i] = undefined
    if (tensor.handle === 0 || tensor.watched !== undefined) continue
    if (kept?.has(tensor)) track(tensor)
    else {
      released[freed++] = tensor.handle
      tensor.handle = 0
    }
  }
  native.releaseMany(released, freed)
}

/** Every tensor inside a value made of arrays, plain objects, maps and tensors. */
function tensorsWithin(value: unknown, found: Set<Tensor>, isTensor: (value: object) => value is Tensor): void {
  if (typeof value !== 'object' || value === null) return
  if (isTensor(value)) found.add(value)
  else if (Array.isArray(value)) for (const item of value) tensorsWithin(item, found, isTensor)
  else if (value instanceof Map) for (const item of value.values()) tensorsWithin(item, found, isTensor)
  else if (Object.getPrototypeOf(value) === Object.prototype)
    for (const item of Object.values(value)) tensorsWithin(item, found, isTensor)
}

let isTensor: (value: object) => value is Tensor

/** Called once by tensor.ts. */
export function setTensorTest(test: (value: object) => value is Tensor): void {
  isTensor = test
}

/**
 * Runs `body` and frees every tensor made inside, except those in its result (arrays, plain objects and maps are walked),
 * which then belong to the scope around, or to the garbage collector.
 * @throws HearthError when `body` returns a promise: scopes are synchronous.
 * @example
 * const loss = scope(() => model(x).sub(y).square().mean())
 */
export function scope<T>(body: () => T): T {
  const outer = begin
  const from = (begin = count)
  let kept: Set<Tensor> | undefined
  try {
    const result = body()
    if (result instanceof Promise) {
      result.catch(() => undefined)
      throw new HearthError('scope() was given an async function, whose tensors would be freed while it still runs', {
        remedy: 'open the scope inside, around the parts that do not wait',
      })
    }
    if (typeof result === 'object' && result !== null) tensorsWithin(result, (kept = new Set()), isTensor)
    return result
  } finally {
    end(from, outer, kept)
  }
}

/**
 * Takes a tensor out of every open scope: it lives until dispose(), or until the garbage collector finds it.
 * @returns the same tensor
 */
export function keep<T extends Tensor>(tensor: T): T {
  if (tensor.watched === undefined) watch(tensor)
  return tensor
}
