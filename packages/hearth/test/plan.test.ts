import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { configure, preset, presetNames } from 'hearth/models'
import {
  bestInterval,
  catalogue,
  ceilingFor,
  deviceHours,
  findModel,
  goodput,
  leversFor,
  plannedModel,
  planTraining,
  readCatalogue,
  readMeans,
  readPlan,
  simulate,
  trainingFlops,
  utilisation,
} from 'hearth/plan'
import { afterAll, describe, expect, test } from 'vitest'
import { goodputTable, llamaRuns, mptConfig, mptPeaks, mptRows } from './published-runs.js'

const folder = mkdtempSync(join(tmpdir(), 'hearth-plan-'))
afterAll(() => rmSync(folder, { recursive: true }))

const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

describe('published runs', () => {
  // One efficiency for the code of each generation: LLaMA's and Llama 2's published hours differ by more than any one allows.
  test.each([
    ['llama', 2048, 0.506],
    ['llama2', 4096, 0.444],
  ] as const)('%s: GPU-hours of every size are within 10 % at one efficiency', (generation, context, efficiency) => {
    for (const { preset, tokens, hours } of llamaRuns[generation]) {
      const flops = trainingFlops(findModel(preset), context) * tokens
      const ratio = deviceHours({ flops, peak: 312e12, efficiency }) / hours
      expect(Math.abs(ratio - 1), preset).toBeLessThan(0.1)
    }
  })

  test.each(mptRows)('MPT-%s at %d on %s: parameters exact, utilisation within 0.1 points', (...row) => {
    const [model, context, gpu, tokensPerSecond, published, parameters] = row
    const planned = plannedModel(model, configure(mptConfig(model, context)))
    expect(planned.shape.parameters).toBe(parameters)
    const flopsPerToken = trainingFlops(planned, context, 'all')
    const share = 100 * utilisation({ flopsPerToken, tokensPerSecond, peak: mptPeaks[gpu] })
    expect(Math.abs(share - published)).toBeLessThan(0.1)
  })

  // 6.06, 23.01, 80.71 and 118.64 GFLOPs, each a multiplication with its addition (Peebles and Xie 2023, table 4).
  test.each([
    ['dit-s-2', 6.06],
    ['dit-b-2', 23.01],
    ['dit-l-2', 80.71],
    ['dit-xl-2', 118.64],
  ] as const)('%s: operations of a picture within 1 %% of the paper', (name, giga) => {
    const model = findModel(name)
    const perPicture = (trainingFlops(model, 256) * 256) / 3 / 2 / 1e9
    expect(Math.abs(perPicture / giga - 1)).toBeLessThan(0.01)
  })
})

describe('goodput', () => {
  const cells = goodputTable.flatMap(([stall, restart, row]) =>
    row.map(([meanTime, published]) => ({ stall, restart, meanTime, published })),
  )

  test.each(cells)(
    'breakdowns every $meanTime s, stall $stall s, restart $restart s: $published by formula',
    (cell) => {
      expect(Math.abs(goodput(bestInterval(cell), cell) - cell.published)).toBeLessThan(0.005)
    },
  )

  const simulated = cells.filter(({ published }) => published > 0.05)
  test.each(simulated)('... and by events: every $meanTime s, stall $stall s, restart $restart s', (cell) => {
    const interval = bestInterval(cell)
    const share = goodput(interval, cell)
    // As much work as there is between 10,000 breakdowns.
    const job = { work: cell.meanTime * share * 1000, interval, breakdowns: cell, seed: 1 }
    expect(Math.abs(simulate(job, 10).goodput - cell.published)).toBeLessThan(0.005)
  })

  test('the same seed is the same history, another seed another', () => {
    const breakdowns = { meanTime: 5000, stall: 10, restart: 100 }
    const of = (seed: number) => simulate({ work: 1e5, interval: 300, breakdowns, seed }, 20)
    expect(of(7)).toEqual(of(7))
    expect(of(7).seconds.mean).not.toBe(of(8).seconds.mean)
  })

  test('a job that never comes back is given up, not waited for', () => {
    const breakdowns = { meanTime: 60, stall: 60, restart: 1800 }
    expect(simulate({ work: 1e4, interval: 60, breakdowns, seed: 1 }, 2).unfinished).toBe(2)
  })
})

describe('models', () => {
  test('parameters of every preset are those of its tensors', () => {
    for (const name of presetNames) {
      const { shape, weights } = findModel(name)
      const elements = Object.values(weights).reduce((sum, sizes) => sum + sizes.reduce((a, b) => a * b, 1), 0)
      expect(elements, name).toBe(shape.parameters)
    }
  })

  test('a diffusion transformer has the parameters of its published weights', () => {
    expect(findModel('dit-xl-2').shape.parameters).toBe(675_129_632)
  })

  test('a folder is counted from its config.json', () => {
    const { family, config } = preset('pythia-70m')
    file('config.json', JSON.stringify(family.toConfig(config)))
    expect(findModel(folder).shape.parameters).toBe(70_426_624)
  })
})

describe('a plan', () => {
  const llama = { model: 'llama-65b', tokens: '1.4T', hardware: 'a100-80gb', devices: 2048, context: 2048, batch: '4M' }

  test('of LLaMA 65B needs its state sharded, and takes about its published days', () => {
    const plan = planTraining(readPlan({ ...llama, efficiency: 0.506 }))
    expect(plan.fits).toBe(true)
    expect(plan.chosen.layout.sharding).not.toBe('replicate')
    expect(Math.abs(plan.deviceHours / 1_022_362 - 1)).toBeLessThan(0.1)
    expect(Math.abs(plan.energy / 449_000 - 1)).toBeLessThan(0.1)
  })

  test('takes longer over a slow network, and less long with seldom exchange', () => {
    const [fast, slow, seldom] = [{}, { network: 0.1 }, { network: 0.1, exchangeEvery: 500 }].map(
      (change) => planTraining(readPlan({ ...llama, model: 'llama-7b', devices: 64, ...change })).hours,
    )
    expect(slow).toBeGreaterThan(2 * fast!)
    expect(seldom).toBeLessThan(1.2 * fast!)
  })

  test('says that a model does not fit, and what it would need', () => {
    const plan = planTraining(readPlan({ model: 'llama3-8b', hardware: 'rtx-4090' }))
    expect(plan.fits).toBe(false)
    expect(plan.notes[0]).toMatch(/does not fit: .* GiB/)
    expect(planTraining(readPlan({ model: 'llama3-8b', hardware: 'rtx-4090', method: 'qlora' })).fits).toBe(true)
  })

  test('names everything that is wrong at once', () => {
    const wrong = { model: '0x0', hardware: 'a101', tokens: 'many', price: 0, devices: 0, efficiency: 2 }
    expect(() => readPlan(wrong)).toThrow(
      /6 problems[^]*model: [^]*hardware: .*a101[^]*tokens: [^]*devices: [^]*efficiency: [^]*price: must be above 0/,
    )
  })
})

describe('a ceiling', () => {
  const cluster = { hardware: 'a100-80gb', devices: 1024, efficiency: 0.5, price: 1 }

  test('of Chinchilla’s compute is Chinchilla’s size: 70B', () => {
    const hours = deviceHours({ flops: 5.76e23, peak: 312e12, efficiency: 0.5 })
    const { largest, limit } = ceilingFor('train', readMeans({ ...cluster, budget: hours }))
    expect(Math.abs(largest!.parameters / 70e9 - 1)).toBeLessThan(0.1)
    expect(limit).toBe('money')
  })

  test('fits what there is, and grows with it', () => {
    const sizes = [1e3, 1e4, 1e5].map((budget) => {
      const { largest } = ceilingFor('train', readMeans({ ...cluster, devices: 64, budget, days: 60 }))
      expect(largest!.money).toBeLessThanOrEqual(budget)
      expect(largest!.hours).toBeLessThanOrEqual(60 * 24)
      return largest!.parameters
    })
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b))
    expect(new Set(sizes).size).toBe(3)
  })

  test('is one whose plan fits the memory, and adapting reaches further than training', () => {
    const means = readMeans({ hardware: 'rtx-4090', days: 30 })
    const [full, lora, qlora] = (['full', 'lora', 'qlora'] as const).map((goal) => ceilingFor(goal, means).largest!)
    const plan = planTraining(readPlan({ model: full!.shape, hardware: 'rtx-4090', tokens: 1e7, context: 2048 }))
    expect(plan.fits).toBe(true)
    expect(lora!.parameters).toBeGreaterThan(full!.parameters)
    expect(qlora!.parameters).toBeGreaterThan(2 * lora!.parameters)
  })

  test('is lifted by what it is short of, the most helpful first', () => {
    const means = readMeans({ ...cluster, devices: 8, budget: 1000 })
    const levers = leversFor(ceilingFor('train', means), means, catalogue)
    expect(levers[0]!.change).toBe('twice the money')
    expect(levers.map(({ ratio }) => ratio)).toEqual(levers.map(({ ratio }) => ratio).toSorted((a, b) => b - a))
    const memory = leversFor(ceilingFor('run', means), means, catalogue)
    expect(memory[0]!.change).toMatch(/twice the devices/)
  })

  test('of nothing is refused, with everything else that is wrong', () => {
    expect(() => readMeans({ hardware: 'a101', budget: 0, days: -1, devices: 0 })).toThrow(
      /4 problems[^]*hardware: [^]*devices: [^]*budget: [^]*days: /,
    )
    expect(() => readMeans({ hardware: 'h100' })).toThrow(/how much money/)
    expect(() => readMeans({ hardware: 'h200', budget: 5 })).toThrow(/h200 has none/)
  })
})

describe('a catalogue of one’s own', () => {
  test('changes a price, and adds a device', () => {
    const own = readCatalogue(file('own.yaml', `h100: { price: 2 }\nmine: ${JSON.stringify(catalogue.h100)}`))
    expect(own.h100).toEqual({ ...catalogue.h100, price: 2 })
    expect(own.mine).toEqual(catalogue.h100)
  })

  test('names everything that is wrong in it', () => {
    const path = file('wrong.yaml', 'h100: { price: 0, colour: red }\nmine: { peak: -1 }')
    expect(() => readCatalogue(path)).toThrow(/h100\.price: must be above 0[^]*mine\.peak: must be above 0/)
    expect(() => readCatalogue(file('list.yaml', '[1, 2]'))).toThrow(/no catalogue/)
    expect(() => readCatalogue(file('torn.yaml', '{ a: '))).toThrow(/not YAML or JSON/)
  })
})
