// What is wanted and what there is, as the sliders have it, and what the server is asked with it.
import type { Ceiling, Goal, Hardware, Lever } from 'hearth/plan'

export interface Known {
  models: string[]
  hardware: Record<string, Hardware>
}

export interface Ceilings {
  ceilings: Ceiling[]
  goal: Goal
  levers: Lever[]
  curve: { budget: number; parameters: number }[]
}

export interface Wanted {
  model: string
  method: 'full' | 'lora' | 'qlora'
  hardware: string
  tokens: number
  devices: number
  budget: number
  days: number
  /** As it was typed; empty for the catalogue's. */
  price: string
}

export const FIRST: Wanted = {
  model: 'pythia-1.4b',
  method: 'full',
  hardware: 'h100',
  tokens: 3e10,
  devices: 8,
  budget: 5000,
  days: 30,
  price: '',
}

export const GOALS: Readonly<Record<Goal, string>> = {
  train: 'trained, 20 tokens a parameter',
  'train-tokens': 'trained on those tokens',
  full: 'fine-tuned, all of it',
  lora: 'adapted by LoRA',
  qlora: 'adapted by QLoRA',
  run: 'run in 16 bits',
  'run-int8': 'run in 8 bits',
  'run-int4': 'run in 4 bits',
}

/** Questions for the server; money counts only where a price is known. */
export function questionsOf({ model, method, hardware, tokens, devices, budget, days, price }: Wanted, known: Known) {
  // What is no number goes as it is: the server says so.
  const given = price.trim() === '' ? {} : { price: Number.isNaN(Number(price)) ? price : Number(price) }
  const common = { hardware, devices, ...given }
  const costs = 'price' in given || known.hardware[hardware]?.price !== undefined
  return {
    costs,
    training: { ...common, model, method, tokens },
    reach: { ...common, days, ...(costs && { budget }) },
  }
}
