// Who should work on a run next: a function of what a store shows, so that every machine comes to the same proposal.
// Machines that fell silent are left out, those that came are taken in, and where a generation broke although everybody
// is there, it is tried once more before the one whom most hold responsible is shut out.
import type { Generation, MemberRecord, View } from './records.js'

export interface Rules {
  /** All hosts of the run, in their order. */
  hosts: readonly string[]
  /** Machines without which the run waits. */
  minimum: number
}

/** Why the generation that stands is not enough. */
export type Reason = 'none' | 'first' | 'gone' | 'came' | 'broke'

/** What the proposer adds. */
interface Proposal {
  /** Of the new generation. */
  id: string
  identity: string
  /** Whether machines that were shut out are to be tried again. */
  pardoned: boolean
}

/** Breaks in a row for which a machine that is there is held responsible before the others go on without it. */
const STRIKES = 2

/** What asks for another generation; undefined when nothing does. */
export function reasonFor({ generation, members }: View): Reason | undefined {
  if (generation === undefined) return 'none'
  if (generation.finished) return undefined
  const { number, id } = generation
  if (members.some(({ last, seen }) => last > number || (last === number && seen !== id))) return 'first'
  const here = new Map(members.map((member) => [member.name, member]))
  const own = generation.members
  if (own.some(({ name, life }) => here.get(name)?.life !== life)) return 'gone'
  const inIt = new Set(own.map(({ life }) => life))
  if (members.some(({ life, broke }) => inIt.has(life) && broke === id)) return 'broke'
  return newcomersOf(generation, members).length > 0 ? 'came' : undefined
}

/** Machines that are there, not in the generation, and that it can take in. */
function newcomersOf(generation: Generation, all: readonly MemberRecord[]): MemberRecord[] {
  const inIt = new Set(generation.members.map(({ life }) => life))
  return all.filter((member) => !inIt.has(member.life) && isWelcome(generation, member))
}

/** Neither shut out nor taken for dead. */
const isWelcome = ({ shutOut, silent, number }: Generation, { name, life, last }: MemberRecord): boolean =>
  shutOut[name] !== life && (silent[name] !== life || last >= number)

/** Those who say that the generation broke. */
const accusersOf = ({ id }: Generation, members: readonly MemberRecord[]) => members.filter(({ broke }) => broke === id)

/** Whether everybody who can be expected to has said how the generation broke. */
export function allHaveSpoken({ generation, members }: View): boolean {
  if (generation === undefined) return true
  const accused = new Set(accusersOf(generation, members).flatMap(({ suspects }) => suspects))
  const lives = new Set(generation.members.map(({ life }) => life))
  return members.every(({ name, life, broke }) => !lives.has(life) || accused.has(name) || broke === generation.id)
}

/**
 * The generation to propose.
 * @returns undefined when too few machines are there
 */
export function nextGeneration(view: View, rules: Rules, { id, identity, pardoned }: Proposal): Generation | undefined {
  const { generation, members } = view
  const alike = members.filter((member) => member.identity === (generation?.identity ?? identity))
  const { strikes, shutOut, gone } = judge(view, rules, pardoned)
  const isMeant = (member: MemberRecord) => generation === undefined || isWelcome({ ...generation, shutOut }, member)
  const meant = rules.hosts.flatMap((host) => alike.filter((member) => member.name === host && isMeant(member)))
  const heard = meant.filter(({ name }) => !gone.has(name))
  // Where the others are too few, whoever may yet be there is waited for.
  const chosen = heard.length < rules.minimum ? meant : heard
  if (chosen.length < Math.max(1, rules.minimum)) return undefined
  return {
    number: 1 + Math.max(generation?.number ?? 0, ...members.map(({ last }) => last)),
    id,
    identity: generation?.identity ?? identity,
    members: chosen.map(({ name, life, address }) => ({ name, life, address })),
    strikes,
    shutOut,
    silent: Object.fromEntries(
      members
        .filter((member) => alike.includes(member) && !chosen.includes(member))
        .map(({ name, life }) => [name, life]),
    ),
    finished: false,
  }
}

interface Judgement {
  strikes: Record<string, number>
  shutOut: Record<string, string>
  /** Held responsible and not heard since: taken for dead before their lease ends. */
  gone: Set<string>
}

function judge(view: View, { hosts, minimum }: Rules, pardoned: boolean): Judgement {
  const { generation, members } = view
  if (generation === undefined) return { strikes: {}, shutOut: {}, gone: new Set() }
  const shutOut = pardoned ? {} : { ...generation.shutOut }
  const accusers = accusersOf(generation, members)
  const worked = members.some((member) => member.worked === generation.id)
  const strikes = worked || accusers.length === 0 ? {} : { ...generation.strikes }
  const speaks = new Set(accusers.map(({ name }) => name))
  const accusations = accusers.flatMap(({ name, suspects }) => suspects.filter((suspect) => suspect !== name))
  const inIt = new Set(generation.members.map(({ life }) => life))
  // A suspect with a new life is another process, that nobody has worked with yet.
  const present = members.filter(({ life }) => inIt.has(life)).map(({ name }) => name)
  const suspects = present.filter((name) => accusations.includes(name))
  const gone = new Set(suspects.filter((name) => !speaks.has(name)))
  const most = mostAccused(
    suspects.filter((name) => speaks.has(name)),
    accusations,
    hosts,
  )
  if (most !== undefined && gone.size === 0) {
    strikes[most] = (strikes[most] ?? 0) + 1
    const left = members.length - 1 >= minimum
    if (strikes[most] >= STRIKES && left) shutOut[most] = members.find(({ name }) => name === most)!.life
  }
  return { strikes, shutOut, gone }
}

/** The later host where two are accused as often. */
function mostAccused(names: readonly string[], accusations: readonly string[], hosts: readonly string[]) {
  const times = (name: string) => accusations.filter((accused) => accused === name).length
  return [...names].sort((a, b) => times(b) - times(a) || hosts.indexOf(b) - hosts.indexOf(a))[0]
}
