import { describe, expect, test } from 'vitest'
import { UsageError } from './failure.js'
import { applySettings } from './settings.js'

describe('--set', () => {
  test('reads values as JSON, and as text where they are not JSON', () => {
    const set = applySettings({}, ['a=1e-3', 'b=true', 'c=[1,2]', 'd=text', 'e="7"', 'f=a=b'])
    expect(set).toEqual({ a: 0.001, b: true, c: [1, 2], d: 'text', e: '7', f: 'a=b' })
  })

  test('places a value inside what is there, and leaves the given configuration as it was', () => {
    const config = { optimizer: { name: 'adamw', learningRate: 1 }, data: { sources: [{ path: 'a' }] } }
    const set = applySettings(config, ['optimizer.learningRate=2', 'data.sources.0.weight=3', 'data.sources.1.path=b'])
    expect(set).toEqual({
      optimizer: { name: 'adamw', learningRate: 2 },
      data: { sources: [{ path: 'a', weight: 3 }, { path: 'b' }] },
    })
    expect(config.optimizer.learningRate).toBe(1)
  })

  test('an empty value takes the field away', () => {
    expect(applySettings({ model: { preset: 'spark' } }, ['model.preset=', 'model.folder=x'])).toEqual({
      model: { folder: 'x' },
    })
  })

  test('NaN and Infinity arrive as numbers, for the schema to refuse', () => {
    expect(applySettings({}, ['a=NaN', 'b=-Infinity'])).toEqual({ a: NaN, b: -Infinity })
  })

  test('every setting of another form is reported at once', () => {
    const wrong = ['steps', '=3', 'a..b=1', 'a b=1', '__proto__.polluted=1']
    const attempt = () => applySettings({}, wrong)
    expect(attempt).toThrow(UsageError)
    for (const word of wrong) expect(attempt).toThrow(JSON.stringify(word))
  })

  test('reaches no prototype', () => {
    const set = applySettings({}, ['constructor.prototype.polluted=1', 'toString.polluted=1'])
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
    expect(Object.keys(set)).toEqual(['constructor', 'toString'])
  })
})
