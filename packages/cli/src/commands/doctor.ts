// `hearth doctor`: what was found on this machine, measured, and what is slow with its remedy.
import { defineCommand } from '../command.js'
import type { Advice, Engine, Machine, Measurements } from '../doctor/index.js'
import { UsageError } from '../failure.js'
import { formatBytes } from '../format.js'
import { examineOnHosts, hostOptions } from '../hosts/index.js'
import { locateRun } from '../locate.js'
import { table } from '../table.js'
import type { Terminal } from '../terminal.js'

interface Examination {
  machine: Machine
  engine: Engine
  measured: Measurements
  /** The arithmetic that `dtype: auto` stands for here. */
  dtype: 'bfloat16' | 'float32'
  advice: Advice[]
}

export const doctor = defineCommand({
  name: 'doctor',
  summary: 'say what was found on this machine, measure it, and name what is slow',
  description: [
    'Says which libtorch, BLAS and processor features were found, and measures what decides the speed of training: matrix products in fp32 and bf16, memory, the cost of one operator call. What is slow is named, with what helps.',
    'It takes about two seconds.',
    'With --hosts it looks at the machines of a run instead, before one is started there: whether each is reached, can be met by all others, how fast bytes go between each two, the clocks, the versions, the configuration of --run, the storage that they share, free memory and disk. All that is wrong is said at once; the exit code is 1 then.',
  ],
  arguments: {},
  options: {
    hosts: hostOptions.hosts,
    run: {
      kind: 'text',
      value: 'RUN',
      description: 'with --hosts: a run that they must see; this folder when not given',
    },
    via: hostOptions.via,
    port: hostOptions.port,
    etcd: { ...hostOptions.etcd, description: 'with --hosts: endpoints of etcd that they must reach' },
    json: { kind: 'flag', description: 'print everything as JSON' },
  },
  examples: [
    { line: 'hearth doctor', does: 'Is this machine as fast as it could be?' },
    { line: 'hearth doctor --hosts a,b,c --run mine', does: 'May the run go on on these machines?' },
  ],
  async run({ options, terminal }) {
    const { hosts, run, via, etcd } = options
    if (hosts !== undefined) {
      await examineOnHosts({ ...options, hosts, run: run === undefined ? undefined : locateRun(run) }, terminal)
      return
    }
    const alone = Object.entries({ run, via, etcd }).filter(([, value]) => value !== undefined)
    if (alone.length > 0)
      throw new UsageError(
        alone.map(([name]) => `--${name} goes with --hosts`),
        'doctor',
      )
    const { adviseOn, describeEngine, describeMachine, measureMachine } = await import('../doctor/index.js')
    const engine = describeEngine()
    const machine = describeMachine()
    if (!options.json) terminal.note('Measuring …')
    const measured = measureMachine()
    const advice = adviseOn(machine, engine, measured)
    const examination: Examination = {
      machine,
      engine,
      measured,
      dtype: engine.fastBfloat16 ? 'bfloat16' : 'float32',
      advice,
    }
    if (options.json) terminal.json(examination)
    else print(examination, terminal)
  },
})

function print({ machine, engine, measured, dtype, advice }: Examination, terminal: Terminal): void {
  const { bold, green, yellow } = terminal.colors
  const { build } = machine
  const bf16 = engine.fastBfloat16 ? 'in hardware: used' : 'emulated on this processor: float32 is used'
  const rows: [string, string][] = [
    ['processor', `${machine.processor}, ${machine.cores} ${machine.cores === 1 ? 'core' : 'cores'}`],
    ['features', engine.features.join(' ') || 'none that matter'],
    ['memory', `${formatBytes(machine.memoryBytes)}, ${formatBytes(machine.availableBytes)} available`],
    ['system', `${machine.platform}, Node ${machine.node}`],
    ['libtorch', `${engine.version}${build?.libtorch ? ` (${build.libtorch.origin}, ${build.libtorch.library})` : ''}`],
    ['BLAS', build?.blas?.library ?? 'not recorded: run `npm run setup`'],
    ['threads', `${engine.threads} an operator`],
    ['GPUs', engine.cudaDevices === 0 ? 'none' : `${engine.cudaDevices} (CUDA)`],
  ]
  const ofPeak = (peak: number) => (peak > 0 ? ` of ${peak.toFixed(0)} fed from the first cache` : '')
  const figures: [string, string][] = [
    ['fp32 matmul', `${measured.matmulFloat32.toFixed(0)} GFLOP/s${ofPeak(measured.peakFloat32)}`],
    ['bf16 matmul', `${measured.matmulBfloat16.toFixed(0)} GFLOP/s${ofPeak(measured.peakBfloat16)}, ${bf16}`],
    ['memory read', `${measured.memoryRead.toFixed(1)} GB/s`],
    ['operator call', `${measured.operatorCall.toFixed(2)} µs`],
  ]
  terminal.print(bold('Found'))
  terminal.print(table(rows))
  terminal.print(bold('\nMeasured'))
  terminal.print(table(figures))
  terminal.print('')
  for (const { problem, remedy } of advice) terminal.print(`${yellow('slow:')} ${problem}\n  remedy: ${remedy}`)
  if (advice.length === 0) terminal.print(green(`Nothing is slow. Training here computes in ${dtype}.`))
}
