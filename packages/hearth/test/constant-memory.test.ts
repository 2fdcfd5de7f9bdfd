// A month of training must not leak: thousands of steps at the same resident memory.
import { Generator, memoryStats, randn, scope, tensor, type Tensor } from '@hearth/torch'
import { adamw } from 'hearth/optim'
import { Trainer, type Objective } from 'hearth/train'
import { expect, test } from 'vitest'

interface Weights {
  up: Tensor
  down: Tensor
}

const objective: Objective<Weights, number> = {
  name: 'regression',
  loss: (weights, batch) => {
    const x = tensor(
      Array.from({ length: 64 }, (_, i) => Math.sin(batch + i)),
      { shape: [8, 8] },
    )
    return x.matmul(weights.up).relu().matmul(weights.down).sub(1).square().mean()
  },
  size: () => 8,
}

function makeTrainer() {
  const generator = new Generator(1)
  const weights = scope(() => ({ up: randn([8, 64], { generator }), down: randn([64, 1], { generator }) }))
  return new Trainer({
    weights,
    objective,
    batches: { slotAt: (step, slot, slots) => step * slots + slot },
    optimizer: adamw({ weightDecay: 0.1 }),
    schedule: () => 1e-3,
    slots: 4,
    clip: 1,
    dtype: 'float32',
    device: 'cpu',
    seed: 1,
    activationCheckpointing: true,
  })
}

test('2,000 steps run at constant resident memory, with no tensor left over', async () => {
  const trainer = makeTrainer()
  // V8 touches the pages of its young generation as it first fills them: let that happen before, not at step 250.
  for (let i = 0; i < 2000; i++) Array.from({ length: 8192 }, () => ({}))
  let after100 = { rss: 0, live: 0 }
  let peak = 0
  for await (const step of trainer.steps(2000)) {
    const rss = process.memoryUsage.rss()
    if (step.number === 100) after100 = { rss, live: memoryStats().liveTensors }
    if (step.number > 100) peak = Math.max(peak, rss)
  }
  expect(trainer.step).toBe(2000)
  expect(memoryStats().liveTensors).toBe(after100.live)
  expect(peak / after100.rss).toBeLessThan(1.02)
})

test('a run that is stopped and restored after any step has the bits of one that was not', async () => {
  const bits = (trainer: ReturnType<typeof makeTrainer>) => Object.values(trainer.state.tensors).map((t) => t.toArray())
  const whole = makeTrainer()
  for await (const step of whole.steps(12)) expect(step.batch).toBe(step.number - 1)
  for (let stopAt = 1; stopAt < 12; stopAt++) {
    const first = makeTrainer()
    for await (const step of first.steps(stopAt)) expect(step.number).toBeLessThanOrEqual(stopAt)
    const second = makeTrainer()
    second.restore(first.state)
    for await (const step of second.steps(12)) expect(step.number).toBeGreaterThan(stopAt)
    expect(bits(second)).toEqual(bits(whole))
  }
})

test('a gradient that is not finite never enters the weights: its batch is left out', async () => {
  const poisoned: Objective<Weights, number> = {
    ...objective,
    loss: (weights, batch, context) => objective.loss(weights, batch, context).mul(batch === 4 * 3 ? NaN : 1),
  }
  const weights = scope(() => ({ up: randn([8, 64]), down: randn([64, 1]) }))
  const trainer = new Trainer({
    weights,
    objective: poisoned,
    batches: { slotAt: (step, slot, slots) => step * slots + slot },
    optimizer: adamw(),
    schedule: () => 1e-3,
    slots: 4,
    clip: 1,
    dtype: 'float32',
    device: 'cpu',
    seed: 1,
    activationCheckpointing: false,
  })
  const batches: number[] = []
  for await (const step of trainer.steps(6)) batches.push(step.batch)
  expect(batches).toEqual([0, 1, 2, 4, 5, 6])
  expect(weights.up.toArray().every(Number.isFinite)).toBe(true)
})
