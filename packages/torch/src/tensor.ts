// The Tensor class: what a tensor is, its memory, its lifetime. Its operators are generated (ops.generated.ts).
import type { Device } from './device.js'
import { dtypeBytes, dtypeCode, dtypeOfCode, type DType } from './dtype.js'
import { TorchError } from './errors.js'
import { native, type TypedArray } from './native.js'
import { TensorOperators } from './ops.generated.js'
import { release, setTensorTest, track, type Watched } from './scope.js'
import { setTensorConstructor } from './wrap.js'

/** Numbers in nested arrays, one level a dimension. */
export type NestedNumbers = number | NestedNumbers[]

/**
 * An n-dimensional array in libtorch. Made by `tensor()`, `zeros()` and the operators, never by `new`.
 * Freed by the scope it was made in; outside any scope by `dispose()` or the garbage collector.
 * @example
 * const y = tensor([[1, 2], [3, 4]]).matmul(ones([2, 1]))
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see the interface below
export class Tensor {
  /** @internal The native handle; 0 once disposed. */
  handle: number
  /** @internal Set when the garbage collector frees it, and no scope does. */
  watched: Watched | undefined
  #shape: readonly number[] | undefined

  /** @internal */
  constructor(handle: number) {
    this.handle = handle
    track(this)
  }

  /** Sizes of the dimensions; empty for a scalar. */
  get shape(): readonly number[] {
    return (this.#shape ??= native.shapeOf(this.handle))
  }

  get dtype(): DType {
    return dtypeOfCode(native.dtypeOf(this.handle))
  }

  get device(): Device {
    return native.deviceOf(this.handle) as Device
  }

  /** Number of elements. */
  get numel(): number {
    return this.shape.reduce((product, size) => product * size, 1)
  }

  /** Bytes of the elements; views of one storage each count their own. */
  get nbytes(): number {
    return this.numel * dtypeBytes(this.dtype)
  }

  get isContiguous(): boolean {
    return native.isContiguous(this.handle)
  }

  get disposed(): boolean {
    return this.handle === 0
  }

  /** Whether autograd records what is done with this tensor. */
  get requiresGrad(): boolean {
    return native.requiresGrad(this.handle)
  }

  /** Marks a leaf for autograd; returns the same tensor. */
  setRequiresGrad(requiresGrad: boolean): this {
    native.setRequiresGrad(this.handle, requiresGrad)
    return this
  }

  /** What backward() accumulated here, or undefined. */
  get grad(): Tensor | undefined {
    const handle = native.gradientOf(this.handle)
    return handle === undefined ? undefined : new Tensor(handle)
  }

  /** Replaces the accumulated gradient; undefined clears it. */
  set grad(gradient: Tensor | undefined) {
    native.setGradient(this.handle, gradient?.handle)
  }

  /**
   * The tensor on another device or with another dtype; where nothing changes, another view of the same memory.
   * @throws TorchError when the device does not exist or has no room
   */
  to(options: DType | { dtype?: DType; device?: Device }): Tensor {
    const { dtype, device } = typeof options === 'string' ? { dtype: options, device: undefined } : options
    return new Tensor(native.moveTo(this.handle, device, dtype === undefined ? undefined : dtypeCode(dtype)))
  }

  /**
   * The one element of a tensor of one element. int64 beyond 2^53 loses its low bits; use data() there.
   * @throws TorchError when there is more than one element
   */
  item(): number {
    return Number(native.item(this.handle))
  }

  /**
   * The tensor's own memory as a typed array: no copy, writes are seen by the tensor. 16-bit floats show their bits
   * in a Uint16Array; int64 is a BigInt64Array. The array keeps the memory alive after dispose().
   * @throws TorchError when the tensor is not contiguous or not in CPU memory
   */
  data(): TypedArray {
    return native.dataOf(this.handle)
  }

  /** All elements as numbers, in row-major order: a copy, for reading and printing. */
  toArray(): number[] {
    const wide = this.dtype === 'float16' || this.dtype === 'bfloat16' ? 'float32' : this.dtype
    const plain = new Tensor(native.moveTo(this.handle, 'cpu', dtypeCode(wide)))
    const contiguous = plain.contiguous()
    try {
      return Array.from(contiguous.data() as ArrayLike<number | bigint>, Number)
    } finally {
      contiguous.dispose()
      plain.dispose()
    }
  }

  /** The elements as nested arrays, one level a dimension. */
  toNested(): NestedNumbers {
    const nest = (values: number[], shape: readonly number[]): NestedNumbers => {
      const [size, ...rest] = shape
      if (size === undefined) return values[0]!
      const stride = rest.reduce((product, next) => product * next, 1)
      return Array.from({ length: size }, (_, i) => nest(values.slice(i * stride, (i + 1) * stride), rest))
    }
    return nest(this.toArray(), this.shape)
  }

  /** Frees the memory now, unless a view or a typed array still holds it. A second call does nothing. */
  dispose(): void {
    if (this.handle === 0) return
    if (this.watched === undefined) native.release(this.handle)
    else release(this.watched)
    this.handle = 0
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  toString(): string {
    return this.disposed ? 'Tensor(disposed)' : `Tensor(${this.dtype}[${this.shape.join(', ')}], ${this.device})`
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.disposed || this.numel > 64 ? this.toString() : `${this.toString()} ${JSON.stringify(this.toNested())}`
  }

  /** A tensor has no JSON form that reads back; a clear error beats `{}` in a file. */
  toJSON(): never {
    throw new TorchError('a Tensor cannot be written as JSON', undefined, {
      remedy: 'use toNested(), or writeSafetensors()',
    })
  }
}

// The operators as methods. By `extends`, every new tensor would call the constructor above it: a fifth of making one.
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging, @typescript-eslint/no-empty-object-type -- the next line keeps its promise
export interface Tensor extends TensorOperators {}
Object.setPrototypeOf(Tensor.prototype, TensorOperators.prototype)

setTensorConstructor((handle) => new Tensor(handle))
setTensorTest((value): value is Tensor => value instanceof Tensor)
