// The options of a run on several machines, the same for `train` and `resume`.
import type { Report, RunConfig, RunResult } from 'hearth/train'
import type { OptionSpecs } from '../command.js'
import { parseHosts, PORT } from './host-list.js'

export const hostOptions = {
  hosts: {
    kind: 'text',
    value: 'A,B',
    description: 'machines that share the run, as name or name=address; local:N for N on this one, as a rehearsal',
  },
  minHosts: {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    description: 'hosts without which the run waits; more than half, or 1 with etcd, when not given',
  },
  via: {
    kind: 'text',
    value: 'LINE',
    description: 'what runs a command on a host, {host} for its name; ssh when not given',
  },
  port: {
    kind: 'integer',
    value: 'N',
    default: PORT,
    minimum: 1,
    maximum: 65535,
    description: 'port on which the hosts meet',
  },
  etcd: { kind: 'text', value: 'URLS', description: 'have the hosts meet in etcd instead: its endpoints, with commas' },
} as const satisfies OptionSpecs

export interface HostsAsked {
  hosts: string | undefined
  minHosts: number | undefined
  via: string | undefined
  port: number
  etcd: string | undefined
  workers: number | undefined
}

/** Prepares a run, or takes one that is there, and has the hosts bring it to its end. */
export async function runOnHosts(
  dir: string,
  made: { config: RunConfig } | 'resume',
  asked: HostsAsked & { hosts: string },
  { report, signal }: { report: Report; signal: AbortSignal },
): Promise<RunResult> {
  const { checkSharing, prepareRun, readRun, resolveConfig } = await import('hearth/train')
  const { onHosts } = await import('./on-hosts.js')
  const hosts = parseHosts(asked.hosts, made === 'resume' ? 'resume' : 'train')
  const { via, port, etcd, workers = 1 } = asked
  // Two halves of a cluster that was cut in two must not both write to one folder; with etcd only one can go on.
  const minimumHosts = asked.minHosts ?? (etcd === undefined ? Math.floor(hosts.length / 2) + 1 : 1)
  const config = made === 'resume' ? resolveConfig(readRun(dir).config) : made.config
  checkSharing(config, { hosts, workers, minimumHosts })
  using run = await prepareRun(dir, made, report)
  const result = await onHosts(run.folder, { hosts, via, workers, minimumHosts, port, etcd, signal, report })
  if (!result.stopped) run.close('finished')
  return result
}
