import { describe, expect, test } from 'vitest'
import { Crew } from './crew.js'
import { Deadlines } from './deadlines.js'

/** A crew whose workers are all ready. */
function readyCrew(size: number): Crew<string> {
  const crew = new Crew<string>({ size })
  crew.muster(0)
  for (let place = 0; place < size; place++) crew.joined(place, 1)
  return crew
}

describe('a crew', () => {
  test('gives each idle worker a task, and the rest as they become free', () => {
    const crew = readyCrew(2)
    expect(crew.begin('gradients', ['a', 'b', 'c'], 1)).toMatchObject([
      { kind: 'assign', place: 0, task: 'a', ticket: 1 },
      { kind: 'assign', place: 1, task: 'b', ticket: 2 },
    ])
    expect(crew.done(1, 2, 'B', 2)).toMatchObject([{ kind: 'assign', place: 1, task: 'c' }])
    expect(crew.done(0, 1, 'A', 2)).toEqual([])
    expect(crew.done(1, 3, 'C', 3)).toEqual([{ kind: 'finished', results: ['A', 'B', 'C'] }])
  })

  test('gives the task of a worker that died to another, and starts a new one in its place', () => {
    const crew = readyCrew(2)
    crew.begin('gradients', ['a'], 1)
    expect(crew.left(0, 'SIGKILL', 2)).toMatchObject([
      { kind: 'start', place: 0 },
      { kind: 'assign', place: 1, task: 'a' },
    ])
  })

  test('hears nothing from an earlier life of a place', () => {
    const crew = readyCrew(1)
    crew.begin('gradients', ['a'], 1)
    crew.left(0, 'SIGKILL', 2)
    crew.joined(0, 3)
    expect(crew.done(0, 1, 'old', 4)).toEqual([])
    expect(crew.done(0, 2, 'new', 4)).toEqual([{ kind: 'finished', results: ['new'] }])
  })

  test('ends a worker that takes ten times as long as the phase does', () => {
    const crew = readyCrew(1)
    for (let round = 0; round < 5; round++) {
      crew.begin('gradients', ['a'], round)
      crew.done(0, round + 1, '', round + 0.5)
    }
    crew.begin('gradients', ['a'], 10)
    expect(crew.tick(14.9)).toEqual([])
    expect(crew.tick(15.1)).toMatchObject([{ kind: 'kill', place: 0 }])
    expect(crew.tick(16)).toEqual([])
  })

  test('gives up on work that costs three workers, and says which', () => {
    const crew = readyCrew(1)
    crew.begin('gradients', ['poison'], 1)
    for (const life of [1, 2]) {
      crew.left(0, 'SIGSEGV', life)
      crew.joined(0, life)
    }
    expect(crew.left(0, 'SIGSEGV', 4)).toEqual([
      {
        kind: 'gave-up',
        reason: "the same work failed 3 times in phase 'gradients'; the last time: SIGSEGV",
      },
    ])
  })

  test('gives up on workers that never start', () => {
    const crew = new Crew<string>({ size: 1 })
    crew.muster(0)
    expect(crew.left(0, 'exit code 1', 1)).toMatchObject([{ kind: 'start' }])
    expect(crew.left(0, 'exit code 1', 2)).toMatchObject([{ kind: 'start' }])
    expect(crew.left(0, 'exit code 1', 3)).toMatchObject([{ kind: 'gave-up' }])
  })
})

describe('the deadline of a phase', () => {
  test('is ten times its median, at most a minute, and never below its minimum', () => {
    const deadlines = new Deadlines()
    expect(deadlines.of('new')).toBe(600)
    deadlines.learn('short', 0.01)
    expect(deadlines.of('short')).toBe(2)
    for (const seconds of [1, 1, 3]) deadlines.learn('step', seconds)
    expect(deadlines.of('step')).toBe(10)
    deadlines.learn('long', 15)
    expect(deadlines.of('long')).toBe(60)
  })

  test('leaves room where the phase itself takes longer than a minute', () => {
    const deadlines = new Deadlines()
    deadlines.learn('step', 100)
    expect(deadlines.of('step')).toBe(300)
  })
})
