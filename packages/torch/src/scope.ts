// Who frees a tensor. Inside a scope: the scope, when it ends. Outside any: the garbage collector, as a net.
// A scope is synchronous: code that waits would let others create tensors in it.
import { HearthError } from './errors.js'
import { native } from './native.js'
import type { Tensor } from './tensor.js'

/** Tensors made since the scope opened. */
class Scope {
  readonly tensors: Tensor[] = []
}

let current: Scope | undefined
let pool = new Float64Array(1024)

interface Watched {
  handle: number
  bytes: number
}

const collected = new FinalizationRegistry<Watched>(({ handle, bytes }) => {
  native.release(handle)
  native.reportMemory(-bytes)
})

/** Leaves the tensor to the garbage collector, and tells it how much memory hangs on the small object it sees. */
function watch(tensor: Tensor): void {
  const bytes = native.storageBytes(tensor.handle)
  native.reportMemory(bytes)
  tensor.watched = true
  collected.register(tensor, { handle: tensor.handle, bytes }, tensor)
}

/** Called by every new Tensor. */
export function track(tensor: Tensor): void {
  if (current === undefined) watch(tensor)
  else current.tensors.push(tensor)
}

/** Called before a watched tensor is disposed by hand. */
export function unwatch(tensor: Tensor): void {
  collected.unregister(tensor)
  native.reportMemory(-native.storageBytes(tensor.handle))
}

/** Frees every tensor of the list that `kept` does not name; one native call for all. */
function free(tensors: readonly Tensor[], kept: ReadonlySet<Tensor>, outer: Scope | undefined): void {
  if (pool.length < tensors.length) pool = new Float64Array(tensors.length * 2)
  let count = 0
  for (const tensor of tensors) {
    if (tensor.disposed || tensor.watched) continue
    if (kept.has(tensor)) {
      if (outer === undefined) watch(tensor)
      else outer.tensors.push(tensor)
      continue
    }
    pool[count++] = tensor.surrender()
  }
  native.releaseMany(pool, count)
}

const NOTHING: ReadonlySet<Tensor> = new Set()

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
  const outer = current
  const inner = new Scope()
  current = inner
  let kept: ReadonlySet<Tensor> = NOTHING
  try {
    const result = body()
    if (result instanceof Promise) {
      result.catch(() => undefined)
      throw new HearthError('scope() was given an async function, whose tensors would be freed while it still runs', {
        remedy: 'open the scope inside, around the parts that do not wait',
      })
    }
    if (typeof result === 'object' && result !== null) {
      const found = new Set<Tensor>()
      tensorsWithin(result, found, isTensor)
      kept = found
    }
    return result
  } finally {
    current = outer
    free(inner.tensors, kept, outer)
  }
}

/**
 * Takes a tensor out of every open scope: it lives until dispose(), or until the garbage collector finds it.
 * @returns the same tensor
 */
export function keep<T extends Tensor>(tensor: T): T {
  if (!tensor.watched) watch(tensor)
  return tensor
}
