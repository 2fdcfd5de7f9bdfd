// Models and optimizers on a GPU against the CPU. Skipped where libtorch sees no GPU: docs/guide/gpu.md.
import { backward, cudaDeviceCount, Generator, randint, randn, scope, type Device, type DType } from '@hearth/torch'
import { generate } from 'hearth/generate'
import { createModel, logits, placeModel, type LanguageModel } from 'hearth/models'
import { crossEntropy } from 'hearth/nn'
import { adamw, gradientNorm, muon, sgd, type Optimizer } from 'hearth/optim'
import { flattenTree } from 'hearth/tree'
import { describe, expect, test } from 'vitest'
import { relativeDistance, TOLERANCE } from './recorded.js'

const GPU: Device = 'cuda'
const describeGpu = describe.skipIf(cudaDeviceCount() === 0)
/** Of float32 between two devices, which sum in another order. */
const ACROSS_DEVICES = 1e-4

const [B, T, V] = [4, 32, 97]
const SIZES = {
  ...{ vocab_size: V, n_embd: 64, n_layer: 3, n_head: 4, n_positions: 64 },
  ...{ hidden_size: 64, num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2 },
  ...{ intermediate_size: 160, max_position_embeddings: 64 },
}

const ids = (seed: number) => randint(0, V, [B, T], { dtype: 'int64', generator: new Generator(seed) })

describeGpu.each(['gpt2', 'llama', 'gpt_neox'])('%s on a GPU', (type) => {
  const modelOn = (device: Device, dtype: DType = 'float32'): LanguageModel =>
    placeModel(createModel({ model_type: type, ...SIZES }, { seed: 5, dtype }), device)

  /** One forward and backward pass, what it gave moved to the CPU. */
  function passOn(device: Device, dtype?: DType) {
    const model = modelOn(device, dtype)
    const leaves = flattenTree(model.weights)
    for (const leaf of Object.values(leaves)) leaf.setRequiresGrad(true)
    return scope(() => {
      const output = logits(model, ids(1).to({ device })) // (B, T, V)
      const loss = crossEntropy(output, ids(2).to({ device }))
      backward(loss)
      const gradients = Object.entries(leaves).map(([path, leaf]) => [path, leaf.grad!.to({ device: 'cpu' })] as const)
      return { devices: [output.device, loss.device], output: output.detach().to({ device: 'cpu' }), gradients }
    })
  }

  test('gives the logits and gradients of the CPU in float32', () => {
    const [got, expected] = [passOn(GPU), passOn('cpu')]
    expect(got.devices).toEqual(['cuda:0', 'cuda:0'])
    expect(relativeDistance(got.output, expected.output)).toBeLessThan(ACROSS_DEVICES)
    for (const [index, [path, gradient]] of got.gradients.entries())
      expect(relativeDistance(gradient, expected.gradients[index]![1]), path).toBeLessThan(ACROSS_DEVICES)
  })

  test('gives the logits of the CPU in bfloat16', () => {
    const [got, expected] = [passOn(GPU, 'bfloat16'), passOn('cpu', 'bfloat16')]
    expect(got.output.dtype).toBe('bfloat16')
    expect(relativeDistance(got.output, expected.output)).toBeLessThan(TOLERANCE.bfloat16)
  })

  test('writes the tokens that it writes on the CPU', async () => {
    const written = async (device: Device) => {
      const tokens: number[] = []
      for await (const id of generate(modelOn(device), [1, 2, 3], { temperature: 0, maxTokens: 12, eosId: [] }))
        tokens.push(id)
      return tokens
    }
    const tokens = await written(GPU)
    expect(tokens).toHaveLength(12)
    expect(tokens).toEqual(await written('cpu'))
  })
})

describeGpu('an optimizer on a GPU', () => {
  const SHAPES = { 'blocks.0.matrix': [48, 80], 'blocks.0.bias': [80], 'embed.weight': [300, 16] }
  const random = (seed: number, device: Device) =>
    Object.fromEntries(
      Object.entries(SHAPES).map(([path, shape], i) => [
        path,
        randn(shape, { generator: new Generator(10 * seed + i) }).to({ device }),
      ]),
    )

  function trainOn(device: Device, optimizer: Optimizer) {
    const weights = random(0, device)
    const state = optimizer.init(weights)
    for (let step = 0; step < 10; step++)
      optimizer.update({ weights, gradients: random(step + 1, device), state, step, learningRate: 0.01 })
    return { ...weights, ...state }
  }

  test.each<[string, Optimizer]>([
    ['AdamW', adamw()],
    ['SGD', sgd({ momentum: 0.9 })],
    ['Muon', muon({ dtype: 'float32' })],
  ])('%s does the ten steps that it does on the CPU', (_, optimizer) => {
    const [got, expected] = [trainOn(GPU, optimizer), trainOn('cpu', optimizer)]
    expect(Object.keys(got)).toEqual(Object.keys(expected))
    for (const [path, value] of Object.entries(got)) {
      expect(value.device, path).toBe('cuda:0')
      expect(relativeDistance(value.to({ device: 'cpu' }), expected[path]!), path).toBeLessThan(ACROSS_DEVICES)
    }
  })

  test('is given the gradient norm that the CPU finds', () => {
    expect(gradientNorm(random(1, GPU)) / gradientNorm(random(1, 'cpu'))).toBeCloseTo(1, 6)
  })
})
