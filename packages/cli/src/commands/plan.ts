// `hearth plan`: what a training will take, before it is started.
import { defineCommand } from '../command.js'

export const plan = defineCommand({
  name: 'plan',
  summary: 'say what a training will take, and how large a model a budget reaches',
  description: [
    'Says whether a training fits the hardware and how (sharding, activation checkpointing, offload, samples at once), how long it takes, what it costs in money and energy, what breakdowns will take of it, and how often to save. Every convention is printed; --explain prints the formula of every figure, filled in.',
    'MODEL is a preset, a folder with a config.json, a GGUF file, LAYERSxWIDTH in LLaMA’s form (32x4096), or a diffusion transformer (dit-s-2 to dit-xl-2). Parameters are counted tensor by tensor. Hardware is a name of the catalogue (--list), or this-machine, which is measured.',
    'Without MODEL it answers the other way round: the largest model that --budget and --days train, fine-tune, adapt and run on this hardware, what keeps it from being larger, and which one purchase or setting would lift that most.',
  ],
  arguments: {
    model: { description: 'what is to be trained; the largest that --budget and --days reach when not given' },
  },
  options: {
    tokens: {
      kind: 'text',
      value: 'N',
      description: 'tokens to train on, or pictures: 300B, 1.4T, 10M; 20 a parameter when not given',
    },
    hardware: { kind: 'text', value: 'NAME', description: 'device of the catalogue, or this-machine, the default' },
    devices: { kind: 'number', value: 'N', default: 1, description: 'how many of them' },
    budget: { kind: 'number', value: 'MONEY', description: 'how much there is' },
    days: { kind: 'number', value: 'N', description: 'how long it may take' },
    catalogue: { kind: 'text', value: 'FILE', description: 'devices of your own, or your prices: JSON or YAML' },
    network: {
      kind: 'number',
      value: 'GB/S',
      description: 'from a machine to the others; the catalogue’s when not given',
    },
    method: { kind: 'text', value: 'METHOD', default: 'full', description: 'full, lora or qlora' },
    rank: { kind: 'number', value: 'N', default: 16, description: 'of low-rank changes, on all linear layers' },
    context: {
      kind: 'number',
      value: 'N',
      description: 'tokens of a sample; the model’s, at most 4096, when not given',
    },
    pixels: { kind: 'number', value: 'N', default: 256, description: 'edge of a picture' },
    batch: {
      kind: 'text',
      value: 'N',
      description: 'tokens of a step, or pictures; by the size of the model when not given',
    },
    efficiency: {
      kind: 'number',
      value: 'SHARE',
      description: 'share of the peak while computing; the catalogue’s when not given',
    },
    price: { kind: 'number', value: 'MONEY', description: 'of a device for an hour; the catalogue’s when not given' },
    electricity: { kind: 'number', value: 'MONEY', description: 'of a kWh, where it is paid apart' },
    failures: { kind: 'number', value: 'N', default: 6.5, description: 'breakdowns of a machine in 1000 days' },
    restart: { kind: 'number', value: 'SECONDS', description: 'from a breakdown until training goes on' },
    stall: {
      kind: 'number',
      value: 'SECONDS',
      description: 'that training waits for a checkpoint; the copy of the state when not given',
    },
    exchangeEvery: {
      kind: 'number',
      value: 'STEPS',
      description: 'what if machines exchanged weights only this often (DiLoCo)',
    },
    simulate: { kind: 'number', value: 'N', default: 0, description: 'histories to simulate, event by event' },
    seed: { kind: 'number', value: 'N', default: 1, description: 'of the simulation' },
    try: { kind: 'flag', description: 'measure a dozen steps of a preset on this machine first' },
    explain: { kind: 'flag', description: 'print how each figure came about' },
    list: { kind: 'flag', description: 'list the catalogue, and do nothing' },
    json: { kind: 'flag', description: 'print the answer as JSON' },
  },
  examples: [
    { line: 'hearth plan spark --tokens 4M', does: 'How long on this machine?' },
    {
      line: 'hearth plan llama-7b --tokens 1T --hardware a100-80gb --devices 512 --explain',
      does: 'A cluster, with every formula',
    },
    { line: 'hearth plan llama3-8b --method qlora --hardware rtx-4090', does: 'Does it fit my card?' },
    {
      line: 'hearth plan pythia-12b --hardware h100 --devices 64 --simulate 1000',
      does: 'With breakdowns as they happen',
    },
  ],
  async run({ arguments: { model }, options, terminal }) {
    const { answerPlan } = await import('../planning/index.js')
    await answerPlan(model, options, terminal)
  },
})
