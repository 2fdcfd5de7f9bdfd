// `hearth doctor`: what was found on this machine, measured, and what is slow with its remedy.
import { defineCommand } from '../command.js'
import type { Advice, Engine, Machine, Measurements } from '../doctor/index.js'
import { formatBytes } from '../format.js'
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
  ],
  arguments: {},
  options: { json: { kind: 'flag', description: 'print everything as JSON' } },
  examples: [{ line: 'hearth doctor', does: 'Is this machine as fast as it could be?' }],
  async run({ options, terminal }) {
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
