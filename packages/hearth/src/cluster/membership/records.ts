// What the machines of a run tell each other about membership, by way of a store that all of them reach. Plain values:
// they travel as JSON. Not here: who decides what (membership.ts, next-generation.ts), where they are kept (store.ts).

/** What a machine says of itself with every heartbeat. */
export interface MemberRecord {
  /** The host, as the list of hosts names it. */
  name: string
  /** Of this process: a machine that comes back has another. */
  life: string
  /** Where the others reach it. */
  address: string
  /** Names everything that the machines of a run must share: version, run and configuration. */
  identity: string
  /** The number of the newest generation that it joined or saw; 0 for none. */
  last: number
  /** That generation's id; empty for none, as those below. */
  seen: string
  /** The id of the newest generation in which it committed a step. */
  worked: string
  /** The id of the newest generation that broke for it. */
  broke: string
  /** The hosts to whom that was due, as far as it knows. */
  suspects: readonly string[]
}

/** A machine as a generation has it. */
export type GenerationMember = Pick<MemberRecord, 'name' | 'life' | 'address'>

/** One membership: who works on the run, in the order of their ranks. */
export interface Generation {
  /** Rises with every generation. */
  number: number
  /** Of this one alone: with two stores in a cluster that is cut in two, two generations may have one number. */
  id: string
  identity: string
  members: readonly GenerationMember[]
  /** How often in a row a generation broke because of a machine that is nevertheless there, by host. */
  strikes: Readonly<Record<string, number>>
  /** Machines that are there and that the others cannot work with, by host; the life that is meant. */
  shutOut: Readonly<Record<string, string>>
  /** Machines that did not answer though they may yet be heard of, by host; one that does says it by its `last`. */
  silent: Readonly<Record<string, string>>
  /** The run is done: nobody forms any more. */
  finished: boolean
}

/** What a store answers. */
export interface View {
  /** Of the generation: whoever proposes the next one names the revision that he knows. */
  revision: number
  generation: Generation | undefined
  /** Machines that were heard of lately. */
  members: readonly MemberRecord[]
}
