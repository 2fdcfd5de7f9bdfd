// Activation functions, by the names that Hugging Face configurations give them.
import { call, scope, type Tensor } from '@hearth/torch'

const gelu = (x: Tensor, bias?: Tensor): Tensor => call('hearth::gelu', x, bias, false) as Tensor
const geluTanh = (x: Tensor, bias?: Tensor): Tensor => call('hearth::gelu', x, bias, true) as Tensor

/** libtorch 1.13 computes the gradient of a bfloat16 silu in bfloat16 on CPUs, term by term: 2 % off. */
function silu(x: Tensor): Tensor {
  if (x.dtype !== 'bfloat16' || x.device !== 'cpu') return x.silu()
  return scope(() => x.to('float32').silu().to('bfloat16'))
}

/** In float32 and rounded once, as the kernels do. */
function quickGelu(x: Tensor): Tensor {
  return scope(() => {
    const wide = x.dtype === 'bfloat16' ? x.to('float32') : x
    return wide.mul(1.702).sigmoid().mul(wide).to(x.dtype)
  })
}

const FUNCTIONS = {
  /** x Φ(x), by the error function. */
  gelu,
  /** ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))); the next two are the same function. */
  gelu_new: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  gelu_fast: geluTanh,
  /** x sigmoid(x); also called swish. */
  silu,
  swish: silu,
  relu: (x: Tensor) => x.relu(),
  /** x sigmoid(1.702 x): OpenAI's CLIP. */
  quick_gelu: quickGelu,
}

export type Activation = keyof typeof FUNCTIONS

/** Every name that `activate` knows. */
export const activationNames = Object.keys(FUNCTIONS) as readonly Activation[]

/** Those that take a bias in the same pass. */
const BIASED: Partial<Record<Activation, (x: Tensor, bias?: Tensor) => Tensor>> = {
  gelu,
  gelu_new: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  gelu_fast: geluTanh,
}

/**
 * The activation of that name of x, or of x + bias, element by element.
 * @param x (..., width)
 * @param bias (width)
 */
export function activate(name: Activation, x: Tensor, bias?: Tensor): Tensor {
  const biased = BIASED[name]
  if (biased !== undefined) return biased(x, bias)
  return bias === undefined ? FUNCTIONS[name](x) : scope(() => FUNCTIONS[name](x.add(bias)))
}

/**
 * activation(gate) * up: the middle of a gated feed-forward part (Shazeer 2020), in one pass where it is SwiGLU.
 * @param gate (..., width)
 * @param up (..., width)
 */
export function gated(name: Activation, gate: Tensor, up: Tensor): Tensor {
  if (name === 'silu' || name === 'swish') return call('hearth::swiglu', gate, up) as Tensor
  return scope(() => activate(name, gate).mul(up))
}
