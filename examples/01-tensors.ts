// Tensors: making them, computing with them, gradients, and who frees them.
// Run it: npx tsx examples/01-tensors.ts
import { add, backward, call, matmul, noGrad, ones, randn, scope, softmax, tensor, torchVersion } from '@hearth/torch'
import type { Tensor } from '@hearth/torch'

console.log(`libtorch ${torchVersion()}`)

// Operators are functions and methods; what has a default goes into one object at the end.
const a = tensor([
  [1, 2],
  [3, 4],
])
console.log('a + 2·1 =', add(a, ones([2, 2]), { alpha: 2 }).toNested())
console.log('a · a =', matmul(a, a).toNested())
console.log('softmax of each row:', softmax(a, 1).toNested())

// A typed array becomes a tensor in one copy; data() looks at a tensor's memory without any.
const bytes = tensor(new Uint8Array([1, 2, 3, 4]), { shape: [2, 2] })
console.log('a view of its memory:', bytes.data())

// Any operator of libtorch, also those without a typed function.
const [values] = call('aten::sort', a, 1, true) as [Tensor, Tensor]
console.log('rows sorted downwards:', values.toNested())

// Gradients: d(sum of w²)/dw = 2w.
const w = tensor([1, -2, 3]).setRequiresGrad(true)
backward(w.mul(w).sum())
console.log('gradient of the sum of squares:', w.grad?.toArray())

// A hundred steps down that slope. A scope frees everything made inside it, so a loop runs at constant memory.
for (let step = 0; step < 100; step++) {
  w.grad = undefined
  scope(() => {
    backward(w.mul(w).sum())
    noGrad(() => w.sub_(w.grad!, { alpha: 0.1 }))
  })
}
console.log('largest weight after 100 steps:', w.abs().max().item().toExponential(1))

// A mistake says which operator it was, and with what.
try {
  matmul(randn([2, 3]), randn([2, 3]))
} catch (error) {
  console.log('a mistake:', (error as Error).message.split('\n')[0])
}
