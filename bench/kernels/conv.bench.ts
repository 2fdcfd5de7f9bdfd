// Convolutions at the shapes of Stable Diffusion 1.5, two images (guidance), forward as in generating: hearth::conv2d
// against libtorch's own on images with channels second, its fastest here, alternating, and against the peak of the same run,
// which is our product fed from the first cache. Rates count the operations of the plain form, so a form that needs fewer
// may pass the peak. For bfloat16 libtorch's best is its own where the processor multiplies them, else widening.
//   npm run bench -- conv [--only REGEX] [--dtype float32|bfloat16] [--gradients] [--rounds 5] [--clock wall|cpu]
import { parseArgs } from 'node:util'
import { backward, call, hasFastBfloat16, noGrad, numThreads, randn, scope, type Tensor } from '@hearth/torch'
import { channelsSecond, conv2d } from 'hearth/nn'
import { alternate, printTable, short, writeResult } from '../measure.js'

interface Shape {
  name: string
  batch: number
  size: number
  in: number
  out: number
  kernel: 1 | 3
  stride?: 1 | 2
  upsample?: boolean
}

const unet = (size: number, width: number, out: number, kernel: 1 | 3, more: Partial<Shape> = {}): Shape => ({
  name: `unet ${width}→${out} at ${size}, ${kernel} × ${kernel}`,
  batch: 2,
  size,
  in: width,
  out,
  kernel,
  ...more,
})

const SHAPES: readonly Shape[] = [
  unet(64, 4, 320, 3),
  unet(64, 320, 320, 3),
  unet(64, 960, 320, 3),
  unet(64, 320, 320, 1),
  unet(64, 320, 320, 3, { stride: 2, name: 'unet 320→320 at 64, stride 2' }),
  unet(32, 640, 640, 3),
  unet(32, 640, 640, 1),
  unet(32, 640, 640, 3, { upsample: true, name: 'unet 640→640 at 32 to 64' }),
  unet(16, 1280, 1280, 3),
  unet(16, 1280, 1280, 1),
  unet(8, 1280, 1280, 3),
  unet(64, 320, 4, 3),
  unet(64, 512, 512, 3, { batch: 1, name: 'vae 512→512 at 64, 3 × 3' }),
  unet(512, 128, 128, 3, { batch: 1, name: 'vae 128→128 at 512, 3 × 3' }),
  unet(512, 128, 3, 3, { batch: 1, name: 'vae 128→3 at 512, 3 × 3' }),
]

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    dtype: { type: 'string' },
    gradients: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    clock: { type: 'string', default: 'wall' },
  },
})
const dtypes = (values.dtype === undefined ? ['float32', 'bfloat16'] : [values.dtype]) as ('float32' | 'bfloat16')[]

/** Milliseconds. */
const now = (): number => (values.clock === 'cpu' ? process.cpuUsage().user / 1000 : performance.now())

type Convolution = (x: Tensor, weight: Tensor, bias: Tensor) => Tensor

const ours = ({ kernel, stride = 1, upsample = false }: Shape): Convolution => {
  const options = { stride, padding: (kernel - 1) / 2, upsample }
  return (x, weight, bias) => conv2d({ weight, bias }, x, options)
}

/** On images (B, C, H, W) and weights (out, in, height, width). */
function theirs({ kernel, stride = 1, upsample = false }: Shape): Convolution {
  const larger = (x: Tensor) => (upsample ? x.repeatInterleave(2, { dim: 2 }).repeatInterleave(2, { dim: 3 }) : x)
  const padding = (kernel - 1) / 2
  return (x, weight, bias) => {
    const widens = x.dtype === 'bfloat16' && !hasFastBfloat16()
    const operands = [larger(x), weight, bias].map((tensor) => (widens ? tensor.to('float32') : tensor))
    return (call('aten::conv2d', ...operands, [stride, stride], [padding, padding]) as Tensor).to(x.dtype)
  }
}

const operationsOf = ({ batch, size, kernel, stride = 1, upsample = false, ...shape }: Shape): number =>
  2 * batch * ((size * (upsample ? 2 : 1)) / stride) ** 2 * kernel ** 2 * shape.in * shape.out

/** Billions of operations a second. */
function rateOf(convolution: Convolution, operands: readonly Tensor[], shape: Shape): number {
  const [x, weight, bias] = operands as [Tensor, Tensor, Tensor]
  const start = now()
  if (values.gradients) {
    for (const leaf of operands) leaf.grad = undefined
    scope(() => {
      const y = convolution(x, weight, bias)
      backward(y, { gradient: y.detach() })
    })
  } else scope(() => noGrad(() => void convolution(x, weight, bias)))
  return ((values.gradients ? 3 : 1) * operationsOf(shape)) / ((now() - start) * 1e6)
}

const table: (string | number)[][] = []
const results: Record<string, unknown> = {}
const headline: { what: string; own: number; other: number }[] = []
for (const dtype of dtypes) {
  for (const shape of SHAPES.filter(({ name }) => new RegExp(values.only).test(name))) await measure(dtype, shape)
}
printTable(['GFLOP/s', 'ours', 'libtorch', 'ours / libtorch', 'peak', '% of peak'], table)
writeResult(
  'conv',
  { clock: values.clock, gradients: values.gradients, threads: numThreads(), ...results },
  headline.map(({ what, own, other }) => ({
    what: `convolution, ${what}`,
    unit: 'GFLOP/s',
    hearth: own,
    peer: { name: 'libtorch', value: other },
  })),
)

async function measure(dtype: 'float32' | 'bfloat16', shape: Shape): Promise<void> {
  const { batch, size, kernel, out } = shape
  const own = [randn([batch, size, size, shape.in]), randn([out, kernel, kernel, shape.in]), randn([out])]
  const leaf = (x: Tensor) => x.to(dtype).contiguous().setRequiresGrad(values.gradients)
  const operands = own.map(leaf)
  const turned = own.map((x) => leaf(x.shape.length === 4 ? channelsSecond(x) : x))
  const rates = await alternate(
    {
      ours: () => rateOf(ours(shape), operands, shape),
      libtorch: () => rateOf(theirs(shape), turned, shape),
      peak: () => call('hearth::measure_peak', dtype, undefined, 0.02) as number,
    },
    { rounds: Number(values.rounds) },
  )
  const [mine, other, peak] = [rates.ours.median, rates.libtorch.median, rates.peak.median]
  const label = `${dtype} ${shape.name}${values.gradients ? ', with gradients' : ''}`
  table.push([label, short(mine), short(other), short(mine / other), short(peak), short((100 * mine) / peak)])
  results[label] = rates
  headline.push({ what: label, own: mine, other })
  for (const tensor of [...own, ...operands, ...turned]) tensor.dispose()
}
