// Weights that are kept in bfloat16 alone, without float32 masters: each update is made in float32 and rounded up or down by
// chance, or steps smaller than a bfloat16's would be lost. (Gupta et al. 2015, arXiv:1502.02551; Zamirai et al. 2020,
// arXiv:2010.06192.) The chance is a function of the seed for a step and a weight, so that a run resumes with the same bits.
import { call, noGrad, scope } from '@hearth/torch'
import type { Optimizer } from './optimizer.js'

/**
 * The same rule for weights of which some are bfloat16: one at a time is float32 meanwhile. Its state is that of the rule.
 * @param options.seedOf an integer from 0 to 2^53 - 1 for each step and weight
 * @example
 * const optimizer = withBfloat16Weights(adamw({ moments: '8bit' }), { seedOf: (step, path) => hash(step, path) })
 */
export function withBfloat16Weights(
  optimizer: Optimizer,
  { seedOf }: { seedOf: (step: number, path: string) => number },
): Optimizer {
  return {
    init: (weights) => optimizer.init(weights),
    update: (options) => {
      const { weights, gradients, step } = options
      for (const [path, weight] of Object.entries(weights)) {
        const gradient = gradients[path]
        if (gradient === undefined) continue
        const one = { ...options, gradients: { [path]: gradient } }
        noGrad(() =>
          scope(() => {
            const wide = weight.to('float32')
            optimizer.update({ ...one, weights: { [path]: wide } })
            if (wide !== weight) call('hearth::round_stochastically_', weight, wide, seedOf(step, path))
          }),
        )
      }
    },
  }
}
