// `hearth inspect`: what is in a model, a run, a checkpoint or a safetensors file. Nothing is computed.
import { defineCommand } from '../command.js'
import { formatBytes, formatCount } from '../format.js'
import type { Inspection } from '../inspection.js'
import { table } from '../table.js'
import type { Terminal } from '../terminal.js'

export const inspect = defineCommand({
  name: 'inspect',
  summary: 'say what is in a model, a run, a checkpoint or a safetensors file',
  description: [
    'Prints the family, the sizes and the number of parameters of a model; the step and the state of a checkpoint, whose every byte is verified; the metadata of a safetensors file; and all tensors with their shapes and types.',
  ],
  arguments: {
    target: {
      description: 'Hugging Face folder, .safetensors, .gguf or .bin file, run, or checkpoint',
      required: true,
    },
  },
  options: { json: { kind: 'flag', description: 'print the answer as JSON' } },
  examples: [
    { line: 'hearth inspect models/pythia-160m', does: 'What is this model?' },
    { line: 'hearth inspect model.safetensors --json', does: 'Every tensor, for a program' },
  ],
  async run({ arguments: { target }, options: { json }, terminal }) {
    const { inspectTarget } = await import('../inspection.js')
    const found = await inspectTarget(target)
    if (json) terminal.json(found)
    else print(found, terminal)
  },
})

function print({ kind, path, facts, tensors }: Inspection, terminal: Terminal): void {
  const { bold, dim } = terminal.colors
  terminal.print(`${bold(path)}  ${dim(kind)}`)
  terminal.print(table(Object.entries(facts).map(([name, value]) => [name, shown(value)])))
  if (tensors.length === 0) return
  const bytes = tensors.reduce((total, tensor) => total + tensor.bytes, 0)
  const elements = tensors.reduce((total, { shape }) => total + shape.reduce((product, size) => product * size, 1), 0)
  terminal.print(bold(`\n${tensors.length} tensors, ${formatCount(elements)} elements, ${formatBytes(bytes)}`))
  terminal.print(
    table(
      tensors.map((tensor) => [tensor.name, `[${tensor.shape.join(', ')}]`, tensor.dtype, formatBytes(tensor.bytes)]),
    ),
  )
}

const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))
