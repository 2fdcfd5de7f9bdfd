// The order in which slots are summed is part of a run: these tests pin it.
import { keep, scope, tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { SlotSum, takeGradients } from './gradients.js'

const slot = (value: number) => scope(() => ({ weight: keep(tensor([value])) }))
const sumOf = (values: number[]): number => {
  const sum = new SlotSum()
  values.forEach((value) => sum.add(slot(value)))
  return sum.finish().weight!.item()
}
const float32 = Math.fround

describe('the sum over gradient slots', () => {
  // In float32 these four numbers add up differently in every order.
  const values = [1e8, 1, -1e8, 1].map(float32)

  test('is the binary tree ((0 + 1) + (2 + 3)), not a running sum', () => {
    const [a, b, c, d] = values as [number, number, number, number]
    const tree = float32(float32(a + b) + float32(c + d))
    const running = float32(float32(float32(a + b) + c) + d)
    expect(tree).not.toBe(running)
    expect(sumOf(values)).toBe(tree)
  })

  test('of two halves by two workers is the sum by one', () => {
    const numbers = Array.from({ length: 8 }, (_, i) => float32(Math.sin(i) * 10 ** (i % 5)))
    const halves = [sumOf(numbers.slice(0, 4)), sumOf(numbers.slice(4))]
    expect(sumOf(halves)).toBe(sumOf(numbers))
  })

  test('of a number of slots that is no power of two takes the rest from the right', () => {
    const [a, b, c] = [float32(1e8), float32(3), float32(5)]
    expect(sumOf([a, b, c])).toBe(float32(float32(a + b) + c))
  })
})

test('a leaf that the loss does not use has a gradient of zeros', () => {
  const leaf = tensor([1, 2]).setRequiresGrad(true)
  expect(takeGradients({ leaf }).leaf!.toArray()).toEqual([0, 0])
})
