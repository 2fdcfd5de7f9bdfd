// One machine's part in a run that several share: it opens the run's folder, which all of them see, meets the others and
// trains until the run is done. Not here: making the run and starting the machines (hearth train --hosts), how a step is
// shared (machines.ts).
import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ConfigError, DataError, HearthError, type ConfigIssue } from '@hearth/torch'
import { EmbeddedServer, EmbeddedStore, EtcdStore, Member, MemberEnd } from '../../cluster/index.js'
import type { EmbeddedServerOptions, MembershipStore } from '../../cluster/index.js'
import { checkAlone, checkDevice, keepData } from '../check-run.js'
import { configHash } from '../changes.js'
import { resolveConfig, type RunConfig } from '../config.js'
import { RunCopies } from '../copies/run-copies.js'
import { EventLog } from '../event-log.js'
import type { Report, RunResult } from '../run-events.js'
import { openSharedRun, readRun, readStatus, type Run } from '../run-folder.js'
import { computeDtype, trainWith, type Sampler } from '../run.js'
import type { SupervisedOptions } from '../supervised-options.js'
import { prepareState } from '../supervised-state.js'
import { prepareText, type TextData } from '../text-data.js'
import { awaitRun, resultOf } from './await-run.js'
import { MachineSession } from './machine-session.js'
import { gradientParts } from './machine-workers.js'
import { Machines } from './machines.js'
import { sharingIssues } from './slot-ranges.js'

const NAME_MILLISECONDS = 60_000
const RETRY_MILLISECONDS = 500
/** What the system says of a name that it does not know (yet). */
const UNKNOWN = new Set(['ENOTFOUND', 'EAI_AGAIN'])

/** A machine of a run. */
export interface Host {
  name: string
  /** Where the others reach it. */
  address: string
}

export interface JoinRunOptions {
  hosts: readonly Host[]
  /** The name of this one. */
  self: string
  workers: number
  /** Machines without which the run waits. */
  minimumHosts: number
  /** Of the run; it keeps everybody else out. */
  secret: string
  /** Of the store that every host serves. */
  port: number
  /** Endpoints of etcd, in place of that store. */
  etcd?: readonly string[]
  report?: Report
  sampler?: Sampler
  /** Has all machines stop after their step. */
  signal?: AbortSignal
  /** Has this machine go after its step, and the others go on where they are enough. */
  leave?: AbortSignal
  /** Of a run that the first of the hosts makes where it is not there yet, and for which the others wait. */
  config?: RunConfig
}

/** What came of a run on this machine. */
export type JoinResult = RunResult & {
  /** The others go on without this machine. */
  left?: true
}

/** @throws ConfigError with everything that keeps these machines from sharing that run */
export function checkSharing(config: RunConfig, { hosts, workers, minimumHosts }: Sharing): void {
  checkAlone(config, { workers })
  const issues: ConfigIssue[] = sharingIssues(config.slots, hosts.length, workers)
  const twice = (values: string[]) => values.find((value, i) => values.indexOf(value) < i)
  const name = twice(hosts.map((host) => host.name)) ?? twice(hosts.map(({ address }) => address))
  if (name !== undefined) issues.push({ path: 'hosts', message: `${name} is named twice` })
  if (minimumHosts > hosts.length)
    issues.push({ path: 'minHosts', message: `${minimumHosts}, but there are ${hosts.length} hosts` })
  if (config.device !== 'cpu')
    issues.push({ path: 'device', message: `machines compute on the cpu, got ${config.device}` })
  if (issues.length > 0) throw new ConfigError('sharing a run', issues)
}

export type Sharing = Pick<JoinRunOptions, 'hosts' | 'workers' | 'minimumHosts'>

/**
 * Works on a run together with the other machines, until it is done or they stop.
 * @throws MemberEnd when the others have another version or configuration, or another process has this host's place
 */
export async function joinRun(dir: string, options: JoinRunOptions): Promise<JoinResult> {
  const { report = () => undefined, self, hosts, workers } = options
  await awaitRun(dir, options)
  if (readStatus(dir)?.state === 'finished') return resultOf(dir)
  const run = openSharedRun<RunConfig>(dir)
  const config = resolveConfig(run.config, run.paths.config)
  checkSharing(config, options)
  checkDevice(config)
  const host = hosts.find(({ name }) => name === self)
  if (host === undefined) throw new HearthError(`${self} is not among the hosts of this run`)
  const dtype = computeDtype(config)
  const copies = new RunCopies(run, report)
  const data = await sharedData(run, options)
  const common = { run, data, dtype, report: copies.following, workers }
  const place = join(run.folder, 'machines', self)
  mkdirSync(place, { recursive: true })
  const parts = gradientParts(workers, config.slots)
  const prepared = await prepareState(common, { folder: place, parts })
  const warn = (error: Error) => report({ kind: 'warning', message: `events cannot be written: ${error.message}` })
  const log = new EventLog(eventsOf(run, self), (event) => report({ kind: 'trouble', event }), warn, self)
  const { member, close } = await meet(options, host, run)
  const machines = new Machines({
    ...{ name: self, member, slots: config.slots, minimum: options.minimumHosts },
    onEvent: (event) => log.write(event),
  })
  const session = new MachineSession({ ...common, machines, prepared, place, log })
  log.write({ kind: 'resumed', step: session.step, from: prepared.from })
  const forget = obey(machines, options)
  try {
    return await carry(session, common, copies, options)
  } finally {
    forget()
    await machines.close()
    close()
    await session.close()
    await copies.close()
  }
}

/** The tokens of the run, which must be the same on every host. */
async function sharedData(run: Run<RunConfig>, { report, self, signal }: JoinRunOptions): Promise<TextData> {
  const options = { report: report ?? (() => undefined), ...(signal && { signal }) }
  const data = await prepareText(run.config, run.folder, options)
  if (run.record.data !== undefined && run.record.data !== data.hash)
    throw new DataError(`${self} sees other tokens in ${run.folder} than the run was prepared with`, {
      remedy: 'put the run on storage that all hosts share',
    })
  await keepData(run, data.hash)
  return data
}

/** The steps, and the end of the run that all machines reach together. */
async function carry(
  session: MachineSession,
  { run, data, dtype, report }: Pick<SupervisedOptions, 'run' | 'data' | 'dtype' | 'report'>,
  copies: RunCopies,
  { sampler, signal }: JoinRunOptions,
): Promise<JoinResult> {
  try {
    const open = { run, engine: session, tokenizer: data.tokenizer, report, ...(sampler && { sampler }) }
    const result = await trainWith(session, open, dtype)
    if (session.left) return { ...result, ...(result.stopped && { left: true }) }
    const led = session.leads
    await session.finish(!result.stopped)
    if (led) await copies.finish(signal)
    return result
  } catch (error) {
    // Machines that were away when the others ended come back to nothing left to do: for good, or for now.
    if (!(error instanceof MemberEnd) || error.how !== 'finished') throw error
    const stopped = readStatus(run.folder)?.state !== 'finished'
    return { dir: run.folder, of: run.config.steps, step: session.step, stopped }
  }
}

/** Does as the signals say, until the returned function is called. */
function obey(machines: Machines, { signal, leave }: JoinRunOptions): () => void {
  const stop = () => {
    machines.requestStop()
  }
  const go = () => {
    machines.requestLeave()
  }
  signal?.addEventListener('abort', stop)
  leave?.addEventListener('abort', go)
  if (signal?.aborted) stop()
  if (leave?.aborted) go()
  return () => {
    signal?.removeEventListener('abort', stop)
    leave?.removeEventListener('abort', go)
  }
}

/** A file for each machine: appending to one file over shared storage is not safe. */
const eventsOf = (run: Run<RunConfig>, self: string): string => run.paths.events.replace(/\.jsonl$/, `-${self}.jsonl`)

/** What all machines of a run must share. */
export function identityOf(dir: string): string {
  const { config, createdAt, versions } = readRun<RunConfig>(dir)
  const { hearth, libtorch } = versions
  const hash = createHash('sha256')
    .update(`${createdAt} ${configHash(config)}`)
    .digest('hex')
    .slice(0, 16)
  return `run ${hash} of Hearth ${hearth} with libtorch ${libtorch}`
}

/** Names of a cluster may be known a while after their machine is there. */
async function listening(options: EmbeddedServerOptions): Promise<EmbeddedServer> {
  const until = performance.now() + NAME_MILLISECONDS
  for (;;) {
    try {
      return await EmbeddedServer.listen(options)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (!UNKNOWN.has(code ?? '') || performance.now() > until) throw error
    }
    await sleep(RETRY_MILLISECONDS)
  }
}

async function meet(options: JoinRunOptions, host: Host, run: Run<RunConfig>) {
  const { hosts, minimumHosts, secret, port, etcd } = options
  const addresses = hosts.map(({ address }) => ({ host: address, port, secret }))
  const server = etcd ? undefined : await listening({ host: host.address, port, secret })
  const identity = identityOf(run.folder)
  const prefix = `/hearth/${createHash('sha256').update(`${secret} ${identity}`).digest('hex').slice(0, 24)}`
  const store: MembershipStore = etcd ? new EtcdStore({ endpoints: etcd, prefix }) : new EmbeddedStore(addresses)
  const names = hosts.map(({ name }) => name)
  const member = new Member({ ...host, identity, hosts: names, minimum: minimumHosts, store })
  return { member, close: () => server?.close() }
}
