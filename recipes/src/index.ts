// @hearth/recipes: typed functions that return a whole run configuration. Call one and change fields for a run of your
// own; `hearth train NAME DATA...` runs those listed here.
import { ember } from './ember.js'
import { gpt2, gpt2Large, gpt2Medium, gpt2Xl } from './gpt2.js'
import { llama13b, llama33b, llama65b, llama7b } from './llama.js'
import {
  pythia12b,
  pythia14m,
  pythia160m,
  pythia1_4b,
  pythia1b,
  pythia2_8b,
  pythia31m,
  pythia410m,
  pythia6_9b,
  pythia70m,
} from './pythia.js'
import type { Recipe } from './recipe.js'
import { spark } from './spark.js'

export * from './ember.js'
export * from './gpt2.js'
export * from './llama.js'
export * from './pythia.js'
export { quickstart } from './quickstart.js'
export { addresses, novel, type CorpusText } from './quickstart-corpus.js'
export * from './spark.js'
export type { Recipe } from './recipe.js'

export interface NamedRecipe {
  name: string
  summary: string
  recipe: Recipe
}

/** The recipes that `hearth train` knows by name, small ones first. */
export const recipes: readonly NamedRecipe[] = [
  {
    name: 'spark',
    summary: '10M parameters and a vocabulary of 8192: a laptop, an hour, a few megabytes',
    recipe: spark,
  },
  { name: 'ember', summary: '30M parameters: a laptop, a night, tens of megabytes', recipe: ember },
  { name: 'gpt2-124m', summary: 'GPT-2 small, 0.5M tokens a step, as nanoGPT reproduces it', recipe: gpt2 },
  { name: 'gpt2-355m', summary: 'GPT-2 medium', recipe: gpt2Medium },
  { name: 'gpt2-774m', summary: 'GPT-2 large', recipe: gpt2Large },
  { name: 'gpt2-1558m', summary: 'GPT-2 XL', recipe: gpt2Xl },
  {
    name: 'pythia-14m',
    summary: 'Pythia (GPT-NeoX), 2M tokens a step for 143,000 steps, as published',
    recipe: pythia14m,
  },
  { name: 'pythia-31m', summary: 'Pythia 31M', recipe: pythia31m },
  { name: 'pythia-70m', summary: 'Pythia 70M', recipe: pythia70m },
  { name: 'pythia-160m', summary: 'Pythia 160M', recipe: pythia160m },
  { name: 'pythia-410m', summary: 'Pythia 410M', recipe: pythia410m },
  { name: 'pythia-1b', summary: 'Pythia 1B', recipe: pythia1b },
  { name: 'pythia-1.4b', summary: 'Pythia 1.4B', recipe: pythia1_4b },
  { name: 'pythia-2.8b', summary: 'Pythia 2.8B', recipe: pythia2_8b },
  { name: 'pythia-6.9b', summary: 'Pythia 6.9B', recipe: pythia6_9b },
  { name: 'pythia-12b', summary: 'Pythia 12B', recipe: pythia12b },
  { name: 'llama-7b', summary: 'LLaMA 7B, 4M tokens a step for 1T tokens, as published', recipe: llama7b },
  { name: 'llama-13b', summary: 'LLaMA 13B', recipe: llama13b },
  { name: 'llama-33b', summary: 'LLaMA 33B, 1.4T tokens', recipe: llama33b },
  { name: 'llama-65b', summary: 'LLaMA 65B, 1.4T tokens', recipe: llama65b },
]
