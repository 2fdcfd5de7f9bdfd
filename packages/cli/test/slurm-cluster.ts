// A real Slurm of two nodes on this machine, for tests: munged, slurmctld and two slurmd in a temporary folder, on
// addresses of the loopback network. Only where the machine has Slurm (Debian: slurm-wlm) and this is root.
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'

const PROGRAMS = ['munged', 'slurmctld', 'slurmd', 'sbatch']
const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`

export const NODES = ['n1', 'n2']

/** What is missing for it; undefined when nothing is. */
export function slurmMissing(): string | undefined {
  const missing = PROGRAMS.filter((name) => spawnSync('which', [name], { env: { PATH } }).status !== 0)
  if (missing.length > 0) return `no ${missing.join(', ')} (Debian: apt-get install slurm-wlm)`
  return process.getuid?.() === 0 ? undefined : 'a test cluster needs root'
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  servers.forEach((server) => server.close())
  return ports
}

const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 100))
}

export class SlurmCluster {
  readonly env: NodeJS.ProcessEnv
  readonly #folder: string
  readonly #daemons = new Map<string, ChildProcess>()

  private constructor(folder: string) {
    this.#folder = folder
    this.env = { ...process.env, PATH, SLURM_CONF: join(folder, 'slurm.conf') }
  }

  static async start(folder: string): Promise<SlurmCluster> {
    const cluster = new SlurmCluster(folder)
    const ports = await freePorts(1 + NODES.length)
    mkdirSync(join(folder, 'state'))
    writeFileSync(join(folder, 'munge.key'), randomBytes(128), { mode: 0o400 })
    writeFileSync(cluster.env.SLURM_CONF!, configuration(folder, ports))
    const files = ['key', 'pid', 'log', 'seed'].map((kind) => `--${kind}-file=${join(folder, `munge.${kind}`)}`)
    cluster.#start('munged', ['--foreground', '--force', `--socket=${join(folder, 'munge.socket')}`, ...files])
    await until(() => spawnSync('munge', ['-n', '-S', join(folder, 'munge.socket')], { env: cluster.env }).status === 0)
    cluster.#start('slurmctld', ['-D', '-c'])
    NODES.forEach((node) => cluster.startNode(node))
    await until(() => cluster.ask('sinfo', '-h', '-t', 'idle', '-o', '%D').trim() === String(NODES.length))
    return cluster
  }

  startNode(node: string): void {
    this.#start(node, ['-D', '-N', node], 'slurmd')
  }

  /** As if its machine were gone: the daemon of the node, and all that it started. */
  killNode(node: string): void {
    const daemon = this.#daemons.get(node)!
    this.#daemons.delete(node)
    daemon.kill('SIGKILL')
    // Steps outlive their daemon; they are known by the node in their environment and their title.
    const { stdout } = spawnSync('ps', ['-eo', 'pid=,args=', 'e', '-ww'], { encoding: 'utf8', maxBuffer: 2 ** 28 })
    const own = stdout
      .split('\n')
      .filter((line) => line.includes(this.#folder) && line.includes(`SLURMD_NODENAME=${node}`))
    const pids = own.map((line) => line.trim().split(/\s+/)[0]!)
    const steps = pids.flatMap((pid) => ancestors(pid))
    for (const pid of new Set([...steps, ...pids])) spawnSync('kill', ['-9', pid])
  }

  ask(program: string, ...args: string[]): string {
    return execFileSync(program, args, { env: this.env, encoding: 'utf8' })
  }

  /** A field of `scontrol show job`. */
  job(id: string, field: string): string {
    const { stdout } = spawnSync('scontrol', ['show', 'job', '-o', id], { env: this.env, encoding: 'utf8' })
    return new RegExp(` ${field}=(\\S*)`).exec(` ${stdout}`)?.[1] ?? ''
  }

  async stop(): Promise<void> {
    spawnSync('scancel', ['--user=root', '--signal=KILL'], { env: this.env })
    spawnSync('scancel', ['--user=root'], { env: this.env })
    await new Promise((resolve) => setTimeout(resolve, 500))
    for (const daemon of [...this.#daemons.values()].reverse()) {
      daemon.kill('SIGTERM')
      if (daemon.exitCode === null) await once(daemon, 'exit')
    }
  }

  #start(name: string, args: string[], program = name): void {
    const log = openSync(join(this.#folder, `${name}.log`), 'a')
    this.#daemons.set(name, spawn(program, args, { env: this.env, stdio: ['ignore', log, log] }))
    closeSync(log)
  }
}

/** The step daemon above a process. */
function ancestors(pid: string): string[] {
  const { stdout } = spawnSync('ps', ['-o', 'ppid=,comm=', '-p', pid], { encoding: 'utf8' })
  const [parent = ''] = stdout.trim().split(/\s+/)
  if (parent === '' || parent === '1') return []
  const comm = spawnSync('ps', ['-o', 'comm=', '-p', parent], { encoding: 'utf8' }).stdout
  return comm.includes('slurmstepd') ? [parent] : []
}

const configuration = (folder: string, [control, ...ports]: number[]) => `
ClusterName=hearth-test
SlurmctldHost=${hostname()}(127.0.0.1)
SlurmctldPort=${control!}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# How long a job that is queued again waits.
AuthInfo=socket=${folder}/munge.socket,cred_expire=5
StateSaveLocation=${folder}/state
SlurmdSpoolDir=${folder}/spool-%n
SlurmctldPidFile=${folder}/slurmctld.pid
SlurmdPidFile=${folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SlurmdTimeout=5
SlurmctldTimeout=5
InactiveLimit=0
SlurmdParameters=config_overrides
${NODES.map((node, i) => `NodeName=${node} NodeHostname=${hostname()} NodeAddr=127.0.0.${i + 1} Port=${ports[i]!} CPUs=4`).join('\n')}
PartitionName=all Nodes=${NODES.join(',')} Default=YES MaxTime=INFINITE State=UP
`
