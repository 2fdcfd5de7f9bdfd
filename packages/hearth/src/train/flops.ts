// Model FLOP utilisation: the floating-point operations a step needs, over what the machine can do in that time.
// Conventions are named with every figure, because published ones differ (references: PaLM appendix B, Kaplan 2020).
import { noGrad, randn, scope, type Device, type DType } from '@hearth/torch'

/** The sizes that the count depends on. */
export interface FlopShape {
  layers: number
  heads: number
  headDim: number
  parameters: number
  /** Parameters of lookup tables that no matrix product touches. */
  embeddingParameters: number
  /** Parameters of experts that a token does not visit. */
  idleParameters?: number
  /** By layer, the keys that a query sees; 0 for all. */
  windows?: readonly number[]
}

/** Printed beside every utilisation. */
export const FLOP_CONVENTION =
  '6 (N - untied embeddings - idle experts) + 12 L d T operations a token (a window in place of a longer T), over the measured peak of a 1024 x 1024 matrix product in the same dtype'

/**
 * Operations of forward and backward for one token of a sequence of `length`: 6N + 12 d T for each layer, where d is the
 * width of all heads together, and a layer that sees only a window has that in place of T; no causal discount.
 */
export function flopsPerToken(shape: FlopShape, length: number): number {
  const { layers, heads, headDim, parameters, embeddingParameters, idleParameters = 0, windows = [] } = shape
  let keys = 0
  for (let layer = 0; layer < layers; layer++) {
    const window = windows[layer] ?? 0
    keys += window === 0 ? length : Math.min(window, length)
  }
  return 6 * (parameters - embeddingParameters - idleParameters) + 12 * heads * headDim * keys
}

/**
 * Operations a second of this device's matrix product: the best of a few, because noise only ever slows.
 * @param dtype arithmetic of the operands
 */
export function measurePeak(dtype: DType, device: Device = 'cpu', size = 1024): number {
  return noGrad(() =>
    scope(() => {
      const [a, b] = [randn([size, size]).to({ dtype, device }), randn([size, size]).to({ dtype, device })]
      let best = Infinity
      const begun = performance.now()
      for (let i = 0; i < 6 && performance.now() - begun < 1500; i++) {
        const started = performance.now()
        // Reading one element waits for the device.
        scope(() => a.matmul(b).select(0, 0).select(0, 0).item())
        best = Math.min(best, performance.now() - started)
      }
      return (2 * size ** 3) / (best / 1000)
    }),
  )
}
