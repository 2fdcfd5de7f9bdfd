// Every layer against what PyTorch recorded for it: the output, and the gradients for the recorded upstream gradient.
import type { Tensor } from '@hearth/torch'
import { grad } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { recordedJson, recordedTensors, relativeDistance, TOLERANCE } from '../../test/recorded.js'
import {
  activate,
  applyRotary,
  attention,
  crossEntropy,
  embedding,
  layerNorm,
  linear,
  rmsNorm,
  rotaryTables,
  type RotaryScaling,
} from './index.js'

type Tensors = Readonly<Record<string, Tensor>>

interface Recorded {
  options: {
    eps: number
    rotaryDims: number
    theta: number
    scaling: Record<string, number> | null
  }
  inputs: Record<string, number[]>
  weights: Record<string, number[]>
}

const { cases } = recordedJson<{ cases: Record<string, Recorded> }>('layers.json')
const file = recordedTensors('layers.safetensors')

function scalingOf(recorded: Record<string, number> | null): RotaryScaling {
  if (recorded === null) return { kind: 'default' }
  return {
    kind: 'llama3',
    factor: recorded.factor!,
    lowFrequencyFactor: recorded.low_freq_factor!,
    highFrequencyFactor: recorded.high_freq_factor!,
    originalContextLength: recorded.original_max_position_embeddings!,
  }
}

function turn({ x, positions }: Tensors, { options }: Recorded): Tensor {
  const rotary = {
    dims: options.rotaryDims,
    theta: options.theta,
    contextLength: 2048,
    scaling: scalingOf(options.scaling),
  }
  const { cos, sin } = rotaryTables(rotary, 0, 2048, x!.dtype)
  return applyRotary(x!, { cos: cos.indexSelect(0, positions!), sin: sin.indexSelect(0, positions!) })
}

const LAYERS: Record<string, (tensors: Tensors, recorded: Recorded) => Tensor> = {
  linear: ({ x, weight, bias }) => linear({ weight: weight!, bias }, x!),
  linear_no_bias: ({ x, weight }) => linear({ weight: weight! }, x!),
  conv1d: ({ x, weight, bias }) => linear({ weight: weight!.t(), bias }, x!),
  embedding: ({ ids, weight }) => embedding({ weight: weight! }, ids!),
  layer_norm: ({ x, weight, bias }, { options }) => layerNorm({ weight: weight!, bias: bias! }, x!, options.eps),
  rms_norm: ({ x, weight }, { options }) => rmsNorm({ weight: weight! }, x!, options.eps),
  gelu: ({ x }) => activate('gelu', x!),
  gelu_tanh: ({ x }) => activate('gelu_new', x!),
  silu: ({ x }) => activate('silu', x!),
  swiglu_mlp: ({ x, gate, up, down }) =>
    linear({ weight: down! }, activate('silu', linear({ weight: gate! }, x!)).mul(linear({ weight: up! }, x!))),
  rotary_full: turn,
  rotary_partial: turn,
  rotary_offset: turn,
  rotary_llama3: turn,
  attention_mha: ({ q, k, v }) => attention(q!, k!, v!, { causal: true }),
  attention_gqa: ({ q, k, v }) => attention(q!, k!, v!, { causal: true }),
  attention_past: ({ q, k, v }) => attention(q!, k!, v!, { causal: true }),
  cross_entropy: ({ logits, targets }) => crossEntropy(logits!, targets!),
}

test('every recorded layer is compared', () => {
  expect(Object.keys(LAYERS).sort()).toEqual(Object.keys(cases).sort())
})

describe.each(['float32', 'bfloat16'] as const)('in %s', (dtype) => {
  test.each(Object.keys(LAYERS))('%s gives the output and the gradients of PyTorch', (name) => {
    const recorded = cases[name]!
    const read = (role: string) => file.tensor(`${name}.${dtype}.${role}`)
    const roles = [
      ...Object.keys(recorded.inputs).map((key) => [key, `input.${key}`] as const),
      ...Object.keys(recorded.weights).map((key) => [key, `weight.${key}`] as const),
    ]
    const tensors = Object.fromEntries(roles.map(([key, role]) => [key, read(role)]))
    const differentiable = Object.keys(tensors).filter((key) => tensors[key]!.dtype === dtype)
    for (const key of differentiable) tensors[key]!.setRequiresGrad(true)

    const output = LAYERS[name]!(tensors, recorded)
    expect(relativeDistance(output.detach(), read('output'))).toBeLessThan(TOLERANCE[dtype])

    const upstream = read('upstream')
    const gradients = grad(
      [output],
      differentiable.map((key) => tensors[key]!),
      { gradOutputs: [upstream] },
    )
    for (const [index, key] of differentiable.entries())
      expect(relativeDistance(gradients[index]!, read(`grad.${key}`)), `gradient of ${key}`).toBeLessThan(
        TOLERANCE[dtype],
      )
  })
})
