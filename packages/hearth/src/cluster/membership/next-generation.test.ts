import { describe, expect, test } from 'vitest'
import { nextGeneration, reasonFor } from './next-generation.js'
import type { Generation, MemberRecord, View } from './records.js'

const HOSTS = ['a', 'b', 'c']

const member = (name: string, changed: Partial<MemberRecord> = {}): MemberRecord => ({
  ...{ name, life: `${name}1`, address: name, identity: 'run', last: 1, seen: 'one', worked: 'one', broke: '' },
  suspects: [],
  ...changed,
})

const GENERATION: Generation = {
  ...{ number: 1, id: 'one', identity: 'run', strikes: {}, shutOut: {}, silent: {}, finished: false },
  members: HOSTS.map((name) => ({ name, life: `${name}1`, address: name })),
}

const viewOf = (members: MemberRecord[], generation: Partial<Generation> = {}): View => ({
  ...{ revision: 1, generation: { ...GENERATION, ...generation }, members },
})

const next = (view: View, minimum = 1) =>
  nextGeneration(view, { hosts: HOSTS, minimum }, { id: 'two', identity: 'run', pardoned: false })
const names = (generation: Generation | undefined) => generation?.members.map(({ name }) => name)

describe('the next generation', () => {
  test('is asked for by nothing while everybody is there and nothing broke', () => {
    expect(reasonFor(viewOf(HOSTS.map((name) => member(name))))).toBeUndefined()
  })

  test('goes on without a machine that fell silent', () => {
    const view = viewOf([member('a'), member('c')])
    expect(reasonFor(view)).toBe('gone')
    expect(names(next(view))).toEqual(['a', 'c'])
  })

  test('takes in a machine that came back, in the order of the hosts', () => {
    const view = viewOf([member('c'), member('b', { life: 'b2', last: 0, seen: '' }), member('a')])
    expect(reasonFor(view)).toBe('gone')
    expect(next(view)).toMatchObject({ number: 2, members: [{ life: 'a1' }, { life: 'b2' }, { life: 'c1' }] })
  })

  test('leaves out a machine that the others accuse and that says nothing, until it speaks again', () => {
    const broken = [member('a', { broke: 'one', suspects: ['b'] }), member('b'), member('c', { broke: 'one' })]
    expect(reasonFor(viewOf(broken))).toBe('broke')
    const two = next(viewOf(broken))!
    expect(names(two)).toEqual(['a', 'c'])
    const seen = { last: 2, seen: 'two' }
    const silent = [member('a', seen), member('b'), member('c', seen)]
    expect(reasonFor(viewOf(silent, two))).toBeUndefined()
    expect(reasonFor(viewOf([silent[0]!, member('b', seen), silent[2]!], two))).toBe('came')
  })

  test('shuts out a machine that is there only when it breaks two generations in a row', () => {
    const broken = [
      member('a', { broke: 'one', suspects: ['c'], worked: '' }),
      member('b', { broke: 'one', worked: '' }),
      member('c', { broke: 'one', suspects: ['a'], worked: '' }),
    ]
    const first = next(viewOf(broken))!
    expect(names(first)).toEqual(HOSTS)
    expect(first.strikes).toEqual({ c: 1 })
    const second = next(viewOf(broken, { strikes: first.strikes }))!
    expect(names(second)).toEqual(['a', 'b'])
    expect(second.shutOut).toEqual({ c: 'c1' })
  })

  test('never has fewer machines than asked for, nor one of another version or configuration', () => {
    expect(next(viewOf([member('a')]), 2)).toBeUndefined()
    expect(names(next(viewOf([member('a'), member('b', { identity: 'another' })])))).toEqual(['a'])
  })
})
