// A whole cluster over a virtual clock and a network that loses and delays: machines die, hang, come back and are cut off
// from each other, with the embedded store on each of them or one store apart, all from one seed. What must hold for
// every seed: every state is the one that an undisturbed run has at that step, machines of one group are at most one step
// apart, no step that was committed is lost while a machine that has it lives, and when the faults end all machines are
// in one generation and the run is done. `HEARTH_SIMULATION_SEED=n` replays one.
import { expect, test } from 'vitest'
import { Directory } from './directory.js'
import { Membership, type MembershipEffect } from './membership.js'
import type { Generation, View } from './records.js'
import { StoreChoice } from './store-choice.js'

const SEEDS = 10_000
const FAULTS_UNTIL = 25
/** Machines that were shut out are tried again after a minute. */
const MUST_END_BY = FAULTS_UNTIL + 110
const TICK = 0.5
const FORM_SECONDS = 3
const CUT_NOTICED_SECONDS = 5

/** A small generator with a seed (Steele et al., SplitMix; 32 bits). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return ((z ^ (z >>> 16)) >>> 0) / 2 ** 32
  }
}

/** What training makes of a state: any function that cannot be guessed. */
const nextState = (state: number) => Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x297a2d39

interface Process {
  life: string
  membership: Membership
  choice: StoreChoice
  /** Its embedded store. */
  directory: Directory
  /** It does nothing until then. */
  hangsUntil: number
  target: { generation: Generation; rank: number; since: number } | undefined
  /** Of the group: the generation that it joined, and the step whose gradients it has summed with the others. */
  group: Generation | undefined
  summed: number | undefined
  brokenSince: number | undefined
  done: boolean
}

interface Machine {
  process: Process | undefined
  comesBackAt: number
  /** Outlives processes: step and state. */
  step: number
  state: number
}

class Cluster {
  readonly #seed: number
  readonly #random: () => number
  readonly #names: string[]
  readonly #machines: Machine[]
  readonly #minimum: number
  /** One store apart from the machines, as etcd; undefined where each machine has one. */
  readonly #apart: Directory | undefined
  readonly #cuts = new Map<string, number>()
  readonly #states: number[]
  readonly #loss: number
  #now = 0
  #lives = 0
  faults = 0
  generations = 0

  constructor(seed: number) {
    this.#seed = seed
    this.#random = randomFrom(seed)
    const size = 2 + Math.floor(this.#random() * 3)
    this.#names = ['a', 'b', 'c', 'd'].slice(0, size)
    this.#minimum = 1 + Math.floor(this.#random() * size)
    this.#apart = this.#random() < 0.5 ? new Directory() : undefined
    this.#loss = this.#random() * 0.2
    this.#states = [seed]
    this.#machines = this.#names.map(() => ({
      process: undefined,
      comesBackAt: this.#random() * 5,
      step: 0,
      state: seed,
    }))
  }

  run(): void {
    while (this.#now < MUST_END_BY) {
      this.#now += TICK
      if (this.#now < FAULTS_UNTIL) this.#breakSomething()
      this.#machines.forEach((machine, index) => this.#live(machine, index))
      this.#machines.forEach((machine, index) => this.#work(machine, index))
      this.#check()
      if (this.#machines.every(({ process }) => process?.done === true)) return
    }
    const at = this.#machines.map(({ step, process }) => `${step}/${process?.group?.number ?? '-'}`).join(' ')
    throw new Error(`seed ${this.#seed}: it does not end: steps and groups ${at}, at least ${this.#minimum} machines`)
  }

  #breakSomething(): void {
    const random = this.#random
    if (random() > 0.12) return
    this.faults++
    const machine = this.#machines[Math.floor(random() * this.#machines.length)]!
    const luck = random()
    if (luck < 0.45) {
      machine.process = undefined
      machine.comesBackAt = this.#now + random() * 12
    } else if (luck < 0.65) {
      if (machine.process) machine.process.hangsUntil = this.#now + random() * 10
    } else {
      const [from, to] = [0, 0].map(() => Math.floor(random() * this.#machines.length)) as [number, number]
      if (from === to) return
      // One direction is enough for a half-open connection.
      this.#cuts.set(`${from}>${to}`, this.#now + random() * 15)
      if (random() < 0.7) this.#cuts.set(`${to}>${from}`, this.#now + random() * 15)
    }
  }

  #isCut(from: number, to: number): boolean {
    return (this.#cuts.get(`${from}>${to}`) ?? 0) > this.#now || (this.#cuts.get(`${to}>${from}`) ?? 0) > this.#now
  }

  /** Starts what is to come back, and has a process talk with the stores. */
  #live(machine: Machine, index: number): void {
    if (machine.process === undefined && this.#now >= machine.comesBackAt) machine.process = this.#start(index)
    const { process } = machine
    if (process === undefined || process.hangsUntil > this.#now || process.done) return
    const view = this.#hear(process, index)
    const { membership } = process
    this.#apply(machine, index, view ? membership.saw(view, this.#now) : membership.tick(this.#now))
  }

  #start(index: number): Process {
    const [name, life] = [this.#names[index]!, String(++this.#lives)]
    const options = { name, life, address: name, identity: 'run', settleSeconds: 8 }
    const membership = new Membership({ ...options, hosts: this.#names, minimum: this.#minimum })
    const choice = new StoreChoice(this.#names.length, this.#now)
    const rest = { target: undefined, group: undefined, summed: undefined, brokenSince: undefined, done: false }
    return { life, membership, choice, directory: new Directory(), hangsUntil: 0, ...rest }
  }

  /** The stores that a machine reaches; requests may be lost. */
  #stores(index: number): [number, Directory][] {
    if (this.#apart) return this.#random() < this.#loss ? [] : [[0, this.#apart]]
    return this.#machines.flatMap(({ process }, host): [number, Directory][] => {
      const answers = process !== undefined && process.hangsUntil <= this.#now && !this.#isCut(index, host)
      return answers && (host === index || this.#random() >= this.#loss) ? [[host, process.directory]] : []
    })
  }

  #hear(process: Process, index: number): View | undefined {
    const views = new Map<number, View>()
    for (const [host, directory] of this.#stores(index)) {
      views.set(host, directory.heartbeat(process.membership.record, this.#now))
      process.choice.heard(host, this.#now)
    }
    this.#machines.forEach((other, host) => {
      if (other.process === undefined && !this.#isCut(index, host) && !this.#apart) process.choice.refused(host)
    })
    const chosen = process.choice.chosen(this.#now)
    return chosen === undefined ? undefined : views.get(chosen)
  }

  #apply(machine: Machine, index: number, effects: readonly MembershipEffect[]): void {
    const process = machine.process!
    for (const effect of effects) {
      if (effect.kind === 'propose') this.#propose(process, index, effect.revision, effect.generation)
      else if (effect.kind === 'form') {
        const { generation, rank } = effect
        this.generations++
        process.target = { generation, rank, since: this.#now }
        Object.assign(process, { group: undefined, summed: undefined, brokenSince: undefined })
      } else if (effect.kind === 'abort')
        Object.assign(process, { target: undefined, group: undefined, summed: undefined })
      else if (effect.kind === 'end') this.#end(process, effect)
    }
  }

  #end(process: Process, { how, reason }: Extract<MembershipEffect, { kind: 'end' }>): void {
    if (how === 'finished') process.done = true
    // A store may know an earlier life of this machine that its lease has not ended: that one must not win.
    else throw new Error(`seed ${this.#seed}: ended: ${reason}`)
  }

  #propose(process: Process, index: number, revision: number, generation: Generation): void {
    const chosen = process.choice.chosen(this.#now)
    for (const [host, directory] of this.#stores(index))
      if (host === chosen) directory.propose(revision, generation, this.#now)
  }

  /** The machines of a generation whose processes are of it and present in their group, by rank. */
  #mates({ members }: Generation): (Machine & { process: Process })[] {
    return members.flatMap(({ name, life }) => {
      const machine = this.#machines[this.#names.indexOf(name)]!
      return machine.process?.life === life ? [machine as Machine & { process: Process }] : []
    })
  }

  #work(machine: Machine, index: number): void {
    const { process } = machine
    if (process === undefined || process.hangsUntil > this.#now || process.done || process.target === undefined) return
    const { generation } = process.target
    const missing = this.#missing(process, index, generation)
    if (process.group === undefined) this.#form(machine, index, missing)
    else if (missing.length > 0 && process.summed === undefined) this.#suffer(machine, index, missing)
    else this.#step(machine, index)
  }

  /** Hosts of a generation with whom this one cannot work at this moment. */
  #missing({ group }: Process, index: number, generation: Generation): string[] {
    const isThere = (name: string, life: string) => {
      const other = this.#names.indexOf(name)
      const { process } = this.#machines[other]!
      if (process?.life !== life || process.hangsUntil > this.#now || this.#isCut(index, other)) return false
      const inGroup = process.group === generation
      return group === undefined ? inGroup || process.target?.generation === generation : inGroup
    }
    return generation.members.filter(({ name, life }) => !isThere(name, life)).map(({ name }) => name)
  }

  #form(machine: Machine, index: number, missing: string[]): void {
    const process = machine.process!
    const { generation, since } = process.target!
    if (missing.length > 0) {
      if (this.#now - since > FORM_SECONDS) this.#fall(machine, index, missing)
      return
    }
    // Everybody is here; whoever is behind takes over the state of one who is not.
    const mates = this.#mates(generation)
    for (const { process } of mates) process.group = generation
    const newest = mates.reduce((most, mate) => (mate.step > most.step ? mate : most))
    for (const mate of mates) {
      Object.assign(mate, { step: newest.step, state: newest.state })
      const at = this.#names.indexOf(generation.members[mates.indexOf(mate)]!.name)
      this.#apply(mate, at, mate.process.membership.formed(generation.number, this.#now))
    }
  }

  /** A dead process is noticed at once, silence after a while. */
  #suffer(machine: Machine, index: number, missing: string[]): void {
    const process = machine.process!
    process.brokenSince ??= this.#now
    const { members } = process.target!.generation
    const isDead = members.some(({ name, life }) => this.#machines[this.#names.indexOf(name)]!.process?.life !== life)
    const noticed = isDead || this.#now - process.brokenSince >= CUT_NOTICED_SECONDS
    const told = this.#mates(process.target!.generation).some((mate) => mate.process.group !== process.group)
    if (noticed || told) this.#fall(machine, index, missing)
  }

  #fall(machine: Machine, index: number, missing: string[]): void {
    const process = machine.process!
    const { number } = process.target!.generation
    Object.assign(process, { target: undefined, group: undefined, summed: undefined })
    this.#apply(machine, index, process.membership.broke(number, missing, this.#now))
  }

  /** Sums with the others, then commits, each in its own time. */
  #step(machine: Machine, index: number): void {
    const process = machine.process!
    const { generation } = process.target!
    process.brokenSince = undefined
    if (process.summed !== undefined) {
      if (this.#random() < 0.3) return
      machine.step++
      machine.state = nextState(machine.state)
      process.summed = undefined
      this.#apply(machine, index, process.membership.worked())
      return
    }
    const mates = this.#mates(generation)
    if (mates.some(({ step, process }) => step !== machine.step || process.summed !== undefined)) return
    // All of them are at the same step, and agree on whether it is their last in this group.
    if (mates.some((mate) => mate.process.membership.isDue)) {
      for (const mate of mates) this.#leave(mate)
    } else if (this.#now > FAULTS_UNTIL && mates.length === this.#names.length)
      this.#apply(machine, index, process.membership.finish())
    else for (const { process } of mates) process.summed = machine.step
  }

  #leave(mate: Machine & { process: Process }): void {
    Object.assign(mate.process, { target: undefined, group: undefined })
    this.#apply(mate, this.#machines.indexOf(mate), mate.process.membership.left(this.#now))
  }

  #check(): void {
    for (const { step, state, process } of this.#machines) {
      while (this.#states.length <= step) this.#states.push(nextState(this.#states.at(-1)!))
      if (state !== this.#states[step]) throw new Error(`seed ${this.#seed}: another state at step ${step}`)
      if (process?.group === undefined) continue
      const steps = this.#mates(process.target!.generation).filter(
        ({ process: other }) => other.group === process.group,
      )
      const apart = Math.max(...steps.map((mate) => mate.step)) - Math.min(...steps.map((mate) => mate.step))
      if (apart > 1) throw new Error(`seed ${this.#seed}: machines of one group are ${apart} steps apart`)
    }
  }
}

const one = process.env.HEARTH_SIMULATION_SEED

test(`${one ?? SEEDS} histories of a cluster: the same states as undisturbed, and in the end all in one generation`, () => {
  if (one !== undefined) {
    new Cluster(Number(one)).run()
    return
  }
  let [faults, generations] = [0, 0]
  for (let seed = 0; seed < SEEDS; seed++) {
    const cluster = new Cluster(seed)
    cluster.run()
    faults += cluster.faults
    generations += cluster.generations
  }
  // The simulation would be idle if its faults did not happen, and no group were formed anew.
  expect(faults).toBeGreaterThan(4 * SEEDS)
  expect(generations).toBeGreaterThan(4 * SEEDS)
})
