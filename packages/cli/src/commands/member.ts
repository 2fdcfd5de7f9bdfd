// `hearth member`: this machine's part in a run on several. `hearth train --hosts` starts it.
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { createInterface } from 'node:readline'
import { defineCommand } from '../command.js'
import { CommandError, exitCodes, UsageError } from '../failure.js'
import { parseHosts, PORT, type MemberLine } from '../hosts/index.js'
import { onInterrupt } from '../interrupt.js'

export const member = defineCommand({
  name: 'member',
  summary: 'take part in a run on several machines (started by train --hosts)',
  description: [
    'Opens the run, which lies on storage that all hosts share, meets the other hosts and trains with them until the run is done. It prints what happens as JSON, a line each. `hearth train --hosts` starts it; by hand, or from a job of Slurm or Kubernetes, it serves for other clusters.',
    'The secret of the run keeps everybody else out. It is read from a file, or from the first line of stdin, and never given on a line. On stdin, the word stop asks all hosts to finish the step and save, as SIGUSR1 does. SIGTERM has this host alone go after its step; where too few would be left, all stop and save.',
    'It ends with 0 when the run is done, and with 75 when the run was stopped before its end, which asks to be started again.',
  ],
  arguments: { run: { description: 'folder of the run', required: true } },
  options: {
    hosts: { kind: 'text', value: 'A,B', description: 'all hosts of the run, as name or name=address' },
    self: {
      kind: 'text',
      value: 'NAME',
      description: 'which of them this one is; by SLURMD_NODENAME or its host name when not given',
    },
    workers: { kind: 'integer', value: 'N', default: 1, minimum: 1, description: 'worker processes on this host' },
    minHosts: { kind: 'integer', value: 'N', default: 1, minimum: 1, description: 'hosts without which the run waits' },
    port: {
      ...{ kind: 'integer', value: 'N', default: PORT, minimum: 1, maximum: 65535 },
      description: 'port of the store that each host serves',
    },
    etcd: { kind: 'text', value: 'URLS', description: 'meet in etcd instead: its endpoints, with commas' },
    config: {
      ...{ kind: 'text', value: 'FILE' },
      description: 'configuration (JSON) of the run, which the first host makes where it is not there yet',
    },
    secretFile: { kind: 'text', value: 'FILE', description: 'file with the secret of the run; stdin when not given' },
  },
  examples: [{ line: 'hearth member runs/mine --hosts a,b --secret-file secret', does: 'One of two hosts, by hand' }],
  async run({ arguments: { run }, options, terminal }) {
    if (options.hosts === undefined) throw new UsageError(['hearth member needs --hosts'], 'member')
    const hosts = parseHosts(options.hosts, 'member')
    const names = [process.env.SLURMD_NODENAME, hostname(), hostname().split('.')[0]]
    const self = options.self ?? hosts.find(({ name }) => names.includes(name))?.name
    if (self === undefined) throw new CommandError(`${hostname()} is none of the hosts`, 'say which it is: --self NAME')
    const { joinRun, resolveConfig } = await import('hearth/train')
    const { config: file } = options
    const config = file === undefined ? undefined : resolveConfig(JSON.parse(readFileSync(file, 'utf8')), file)
    const interrupt = onInterrupt((text) => terminal.note(text), {
      stopping: 'Stopping: the step at hand is finished first.',
      kept: () => 'the last step stays in the state file',
    })
    const [abort, leave] = [new AbortController(), new AbortController()]
    const isAlone = () => interrupt.exitCode === exitCodes.terminated
    interrupt.signal.addEventListener('abort', () => (isAlone() ? leave : abort).abort())
    const secret = await secretOf(options.secretFile, () => abort.abort())
    let leads = false
    const say = (line: MemberLine) => terminal.write(`${JSON.stringify(line)}\n`)
    try {
      const result = await joinRun(run, {
        ...{ hosts, self, secret, workers: options.workers, minimumHosts: options.minHosts, port: options.port },
        ...(options.etcd !== undefined && { etcd: options.etcd.split(',') }),
        ...(config !== undefined && { config }),
        ...{ signal: abort.signal, leave: leave.signal },
        report: (event) => {
          if (event.kind === 'trouble' && event.event.kind === 'group-formed') leads = event.event.hosts[0] === self
          say({ kind: 'event', leads, event })
        },
      })
      if (!result.left) say({ kind: 'result', result })
      terminal.exitCode = result.stopped ? (interrupt.exitCode ?? exitCodes.requeue) : 0
    } finally {
      interrupt.release()
      process.stdin.destroy()
    }
  },
})

/** The first line of stdin, or a file; the word stop on stdin calls `stop`. */
async function secretOf(file: string | undefined, stop: () => void): Promise<string> {
  const found = file === undefined ? undefined : readFileSync(file, 'utf8').trim()
  if (found !== undefined) return found
  const lines = createInterface({ input: process.stdin })
  return await new Promise((resolve, reject) => {
    let secret: string | undefined
    lines.on('line', (line) => {
      if (secret === undefined) resolve((secret = line.trim()))
      else if (line.trim() === 'stop') stop()
    })
    lines.on('close', () => reject(new CommandError('no secret came on stdin', 'give one: --secret-file FILE')))
  })
}
