// Activation functions, by the names that Hugging Face configurations give them.
import { scope, type Tensor } from '@hearth/torch'

const geluTanh = (x: Tensor): Tensor => x.gelu({ approximate: 'tanh' })

/** libtorch 1.13 computes the gradient of a bfloat16 silu in bfloat16 on CPUs, term by term: 2 % off. */
function silu(x: Tensor): Tensor {
  if (x.dtype !== 'bfloat16' || x.device !== 'cpu') return x.silu()
  return scope(() => x.to('float32').silu().to('bfloat16'))
}

const FUNCTIONS = {
  /** x Φ(x), by the error function. */
  gelu: (x: Tensor) => x.gelu(),
  /** ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))); the next two are the same function. */
  gelu_new: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  gelu_fast: geluTanh,
  /** x sigmoid(x); also called swish. */
  silu,
  swish: silu,
  relu: (x: Tensor) => x.relu(),
}

export type Activation = keyof typeof FUNCTIONS

/** Every name that `activate` knows. */
export const activationNames = Object.keys(FUNCTIONS) as readonly Activation[]

/** The activation of that name, element by element. */
export function activate(name: Activation, x: Tensor): Tensor {
  return FUNCTIONS[name](x)
}
