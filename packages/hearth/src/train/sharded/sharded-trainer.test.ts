// Sharding must change memory, never bits: every stage and number of ranks against the plain trainer.
import { scope, tensor, type DType, zeros } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import type { TextBatch } from '../../data/index.js'
import type { LanguageModel } from '../../models/index.js'
import { adamw, muon, sgd, type Optimizer } from '../../optim/index.js'
import { fillTree, flattenTree } from '../../tree/index.js'
import { poisoned } from '../drill/poison.js'
import { nextToken } from '../objective.js'
import { Trainer, type Step } from '../trainer.js'
import {
  inRanks,
  randomBatches,
  smallModel,
  valuesOf,
  wholeValues,
  type InProcessOptions,
} from '../../../test/ranks-in-process.js'
import type { ShardedTrainer } from './sharded-trainer.js'
import { SHARDINGS, type Sharding } from './stages.js'

const SLOTS = 4
const STEPS = 3

const settings = (dtype: DType = 'float32', slots = SLOTS): InProcessOptions['trainer'] => ({
  schedule: (step) => 1e-2 / (step + 1),
  clip: 0.5,
  slots,
  dtype,
  device: 'cpu',
  seed: 7,
  activationCheckpointing: true,
})

interface Outcome {
  steps: Omit<Step, 'seconds'>[]
  values: Record<string, number[]>
}

const timeless = ({ seconds, ...step }: Step): Omit<Step, 'seconds'> => {
  expect(seconds).toBeGreaterThan(0)
  return step
}

async function plainly(
  model: LanguageModel,
  optimizer: Optimizer,
  trainer: InProcessOptions['trainer'] = settings(),
): Promise<Outcome> {
  const flat = flattenTree(model.weights)
  const weights = fillTree(model.weights, (path) => flat[path]!.clone())
  const plain = new Trainer<unknown, TextBatch>({
    objective: nextToken(model),
    batches: randomBatches,
    ...trainer,
    weights,
    optimizer,
  })
  const steps = []
  for await (const step of plain.steps(STEPS)) steps.push(timeless(step))
  return { steps, values: valuesOf(plain.state.tensors) }
}

async function sharded(options: Omit<InProcessOptions, 'trainer'> & Partial<Pick<InProcessOptions, 'trainer'>>) {
  const [first] = await inRanks({ trainer: settings(), ...options }, async (trainer): Promise<Outcome> => {
    const steps = []
    for await (const step of trainer.steps(STEPS)) steps.push(timeless(step))
    return { steps, values: await wholeValues(trainer) }
  })
  return first!
}

/** Does steps that nobody looks at. */
async function onTo(step: number, trainer: ShardedTrainer<TextBatch>): Promise<void> {
  for await (const { loss } of trainer.steps(step)) expect(loss).toBeGreaterThan(0)
}

function expectSame(got: Outcome, expected: Outcome): void {
  expect(got.steps).toEqual(expected.steps)
  expect(Object.keys(got.values).sort()).toEqual(Object.keys(expected.values).sort())
  // Not toEqual on all at once: what differs would be printed element by element.
  for (const [name, values] of Object.entries(expected.values))
    expect(got.values[name]!.filter((value, i) => !Object.is(value, values[i])).length, name).toBe(0)
}

describe.each(['gpt2', 'llama', 'llama-tied', 'gpt_neox'] as const)('%s', (type) => {
  const model = smallModel(type)
  const expected = plainly(model, adamw())

  test.each(SHARDINGS.flatMap((sharding) => [1, 2, 4].map((ranks) => [sharding, ranks] as const)))(
    'has the bits of the plain trainer with sharding %s over %i ranks',
    async (sharding, ranks) => {
      expectSame(await sharded({ model, sharding, ranks, optimizer: adamw() }), await expected)
    },
  )
})

describe('what is drawn and chosen within a block', () => {
  const rates = (rate: number) => ({ embd_pdrop: rate, attn_pdrop: rate, resid_pdrop: rate })
  const experts = { num_local_experts: 4, num_experts_per_tok: 2, router_aux_loss_coef: 0.02 }
  const dropping = smallModel('gpt2', rates(0.2))
  const mixing = smallModel('mixtral', experts)
  const expected = { dropout: plainly(dropping, adamw()), experts: plainly(mixing, adamw()) }

  test.each(SHARDINGS)('has the bits of the plain trainer with sharding %s', async (sharding) => {
    const over = { sharding, ranks: 2, optimizer: adamw() }
    expectSame(await sharded({ model: dropping, ...over }), await expected.dropout)
    expectSame(await sharded({ model: mixing, ...over }), await expected.experts)
  })

  test('counts: other rates and another weight of the balance give other losses', async () => {
    const losses = async (model: LanguageModel) => (await plainly(model, adamw())).steps.map(({ loss }) => loss)
    expect(await losses(smallModel('gpt2', rates(0)))).not.toEqual((await expected.dropout).steps.map((s) => s.loss))
    const unbalanced = smallModel('mixtral', { ...experts, router_aux_loss_coef: 0 })
    expect(await losses(unbalanced)).not.toEqual((await expected.experts).steps.map((s) => s.loss))
  })
})

describe('sharding', () => {
  const model = smallModel('llama')

  test('learns', async () => {
    const { steps } = await sharded({ model, sharding: 'everything', ranks: 2, optimizer: adamw() })
    expect(steps.at(-1)!.loss).not.toBe(steps[0]!.loss)
    expect(steps.every(({ gradientNorm }) => gradientNorm > 0.5)).toBe(true)
  })

  test.each(SHARDINGS)('keeps the bits in bfloat16 with sharding %s', async (sharding) => {
    const trainer = settings('bfloat16')
    const expected = await plainly(model, adamw(), trainer)
    expectSame(await sharded({ model, sharding, ranks: 2, optimizer: adamw(), trainer }), expected)
  })

  test.each<[Sharding, number, number]>([
    ['optimizer', 3, 3],
    ['everything', 3, 3],
    ['replicate', 6, 3],
    ['everything', 6, 2],
  ])('keeps the bits with sharding %s of %i slots over %i ranks', async (sharding, slots, ranks) => {
    const trainer = settings('float32', slots)
    const expected = await plainly(model, adamw(), trainer)
    expectSame(await sharded({ model, sharding, ranks, optimizer: adamw(), trainer }), expected)
  })

  test('keeps the bits of SGD, and of Muon where matrices are whole', async () => {
    const momentum = () => sgd({ momentum: 0.9 })
    expectSame(
      await sharded({ model, sharding: 'everything', ranks: 4, optimizer: momentum() }),
      await plainly(model, momentum()),
    )
    const whole = () => muon({ dtype: 'float32' })
    expectSame(
      await sharded({ model, sharding: 'replicate', ranks: 2, optimizer: whole() }),
      await plainly(model, whole()),
    )
  })

  test('refuses moments in bytes, whose blocks would be cut', async () => {
    const wide = { ...model, weights: { ...(model.weights as object), embed: { weight: zeros([64, 128]) } } }
    const options = { model: wide, sharding: 'optimizer', ranks: 2, optimizer: adamw({ moments: '8bit' }) } as const
    await expect(sharded(options)).rejects.toThrow(/optimizer\.moments: 8bit has no shards/)
  })

  test('keeps the bits where the state is mapped from disk one block at a time', async () => {
    const expected = await plainly(model, adamw())
    for (const sharding of SHARDINGS)
      expectSame(await sharded({ model, sharding, ranks: 2, optimizer: adamw(), offload: 'disk' }), expected)
  })

  test.each(SHARDINGS)(
    'leaves out the batches that the plain trainer leaves out, with sharding %s',
    async (sharding) => {
      const bad = poisoned({ objective: nextToken(model), batches: randomBatches }, { nan: [1] })
      const trainer = { ...settings(), ...bad }
      const expected = await plainly(model, adamw(), trainer)
      expect(expected.steps.map(({ batch }) => batch)).toEqual([0, 2, 3])
      expectSame(await sharded({ model, sharding, ranks: 2, optimizer: adamw(), trainer }), expected)
    },
  )

  test('goes on from a state that any other number of ranks had', async () => {
    const expected = await plainly(model, adamw())
    const halfway = async (sharding: Sharding, ranks: number, from?: InProcessOptions['from']) => {
      const options = { model, sharding, ranks, optimizer: adamw(), trainer: settings(), ...(from && { from }) }
      const [values] = await inRanks(options, async (trainer) => {
        await onTo(trainer.step + 1, trainer)
        return await wholeValues(trainer)
      })
      return values!
    }
    let values = await halfway('everything', 4)
    const source = (name: string) => tensor(values[name]!)
    values = await halfway('optimizer', 2, { step: 1, source })
    values = await halfway('replicate', 1, { step: 2, source })
    expectSame({ ...expected, values }, expected)
  })

  test('goes back to the step before where another rank did not get further', async () => {
    const options = { model, sharding: 'everything', ranks: 2, optimizer: adamw(), trainer: settings() } as const
    const expected = await sharded(options)
    const [first] = await inRanks(options, async (trainer, rank, state) => {
      await onTo(2, trainer)
      if (rank === 1) state.goBackTo(1)
      expect(await trainer.agree()).toBe(1)
      const steps = []
      for await (const step of trainer.steps(STEPS)) steps.push(timeless(step))
      return { steps, values: await wholeValues(trainer) }
    })
    expectSame({ ...first!, steps: expected.steps }, expected)
    expect(first!.steps).toEqual(expected.steps.slice(1))
  })

  test('frees what it uses: a later step holds no more than an earlier one', async () => {
    const { memoryStats } = await import('@hearth/torch')
    await inRanks(
      { model, sharding: 'everything', ranks: 2, optimizer: adamw(), trainer: settings() },
      async (trainer) => {
        await onTo(1, trainer)
        const before = scope(() => memoryStats().liveTensors)
        for await (const { loss } of trainer.steps(6)) expect(loss).toBeGreaterThan(0)
        expect(memoryStats().liveTensors).toBeLessThan(before + 200)
      },
    )
  })
})
