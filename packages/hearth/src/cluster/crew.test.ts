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

describe('a crew for which fewer workers are enough', () => {
  const crewOf = (least: number) => {
    const crew = new Crew<string>({ size: 2, least, restSeconds: 10 })
    crew.muster(0)
    crew.joined(0, 1)
    crew.left(1, 'exit code 1', 1)
    crew.left(1, 'exit code 1', 2)
    return crew
  }

  test('goes on without one that is lost three times in a row, and tries it again later', () => {
    const crew = crewOf(1)
    expect(crew.left(1, 'exit code 1', 3)).toEqual([{ kind: 'rest', place: 1, reason: 'exit code 1', seconds: 10 }])
    expect(crew.wanted).toBe(1)
    expect(crew.begin('gradients', ['a', 'b'], 4)).toMatchObject([{ place: 0, task: 'a' }])
    expect(crew.done(0, 1, 'A', 5)).toMatchObject([{ place: 0, task: 'b' }])
    expect(crew.tick(12.9)).toEqual([])
    expect(crew.tick(13)).toEqual([{ kind: 'start', place: 1 }])
    // Lost once more it rests twice as long; a task that it does makes it a worker like the others.
    expect(crew.left(1, 'exit code 1', 14)).toMatchObject([{ kind: 'rest', seconds: 20 }])
    crew.tick(34)
    expect(crew.joined(1, 35)).toEqual([])
    expect(crew.wanted).toBe(2)
  })

  test('does not go below that', () => {
    expect(crewOf(2).left(1, 'exit code 1', 3)).toEqual([{ kind: 'start', place: 1 }])
  })

  test('gives the task of the one that it goes on without to another', () => {
    const crew = new Crew<string>({ size: 2, least: 1, maxFalls: 1 })
    crew.muster(0)
    for (const place of [0, 1]) crew.joined(place, 1)
    crew.begin('gradients', ['a', 'b'], 1)
    crew.done(0, 1, 'A', 2)
    // One fall is all that a task may have here; the rest is told all the same.
    expect(crew.left(1, 'SIGKILL', 3).map(({ kind }) => kind)).toEqual(['rest', 'gave-up'])
  })
})

describe('a crew with a slow worker', () => {
  /** Rounds of two equal tasks, of which the second worker takes longer. */
  function rounds(crew: Crew<string>, count: number, slow: number) {
    const said = []
    for (let round = 0; round < count; round++) {
      const at = 100 + 10 * round
      const begun = crew.begin('gradients', ['a', 'b'], at)
      const ticket = Math.max(...begun.flatMap((effect) => (effect.kind === 'assign' ? [effect.ticket] : [])))
      said.push(...crew.done(0, ticket - 1, '', at + 1), ...crew.done(1, ticket, '', at + slow))
      if (said.some(({ kind }) => kind === 'kill')) return said
    }
    return said
  }
  const crewOf = (replaceSlow: boolean) => {
    const crew = new Crew<string>({ size: 2, pacedPhase: 'gradients', replaceSlow })
    crew.muster(0)
    for (const place of [0, 1]) crew.joined(place, 1)
    return crew
  }

  test('names it once, by what it takes beside the others', () => {
    const slow = rounds(crewOf(false), 20, 2).filter(({ kind }) => kind !== 'finished')
    expect(slow).toEqual([{ kind: 'slow', place: 1, seconds: 2, usual: 1 }])
  })

  test('says nothing of one that takes a little longer', () => {
    expect(rounds(crewOf(false), 20, 1.4).every(({ kind }) => kind === 'finished')).toBe(true)
  })

  test('replaces it when asked', () => {
    expect(rounds(crewOf(true), 20, 3)).toContainEqual(
      expect.objectContaining({ kind: 'kill', place: 1, reason: '3.0 times as slow as the others' }),
    )
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
