import { preset } from 'hearth/models'
import { resolveConfig } from 'hearth/train'
import { describe, expect, test } from 'vitest'
import { addresses, novel, quickstart, recipes, spark } from './index.js'

const data = ['texts/', 'more.jsonl']

describe.each(recipes)('recipe $name', ({ name, recipe }) => {
  const config = resolveConfig(recipe(data), name)

  test('is a valid configuration under its own name, on the data it is given', () => {
    expect(config.name).toBe(name)
    expect(config.data.sources.map(({ path }) => path)).toEqual(data)
  })

  test('trains a shape that exists, on sequences that fit its context', () => {
    const { family, config: shape } = preset(config.model.preset!)
    expect(config.sequenceLength).toBeLessThanOrEqual(family.shape(shape).contextLength)
  })
})

test('the quickstart is a valid configuration on the texts that are installed', () => {
  const { model, data: corpus } = resolveConfig(quickstart())
  expect(model.preset).toBe('spark')
  expect(corpus.sources.map(({ path }) => path)).toEqual([addresses().path, novel().path])
})

test('names are unique', () => {
  const names = recipes.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
})

test('a variant changes two fields of what it calls, and nothing else', () => {
  const variant = { ...spark(data), name: 'longer', steps: 9000 }
  expect(resolveConfig(variant)).toEqual({ ...resolveConfig(spark(data)), name: 'longer', steps: 9000 })
})

test('without data no recipe is valid, and the message names the field', () => {
  expect(() => resolveConfig(spark([]))).toThrow('data.sources')
})
