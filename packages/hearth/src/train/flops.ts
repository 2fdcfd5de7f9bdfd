// Model FLOP utilisation: the floating-point operations a step needs, over what the machine can do in that time.
// Conventions are named with every figure, because published ones differ (references: PaLM appendix B, Kaplan 2020).
import { noGrad, randn, scope, type Device, type DType } from '@hearth/torch'

/** The sizes that the count depends on. */
export interface FlopShape {
  layers: number
  width: number
  parameters: number
  /** Parameters of lookup tables that no matrix product touches. */
  embeddingParameters: number
}

/** Printed beside every utilisation. */
export const FLOP_CONVENTION =
  '6 (N - untied embeddings) + 12 L d T operations a token, over the measured peak of a 1024 x 1024 matrix product in the same dtype'

/** Operations of forward and backward for one token of a sequence of `length`: 6N + 12 L d T, no causal discount. */
export function flopsPerToken({ layers, width, parameters, embeddingParameters }: FlopShape, length: number): number {
  return 6 * (parameters - embeddingParameters) + 12 * layers * width * length
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
