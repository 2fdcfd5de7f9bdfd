// GPT-3 (Brown et al. 2020, arXiv:2005.14165): GPT-2 whose layers alternate between dense attention and a local band, as
// in the Sparse Transformer (Child et al. 2019). The paper does not give the band's width; 256 is GPT-Neo's.
import type { Gpt2Config } from '../gpt2/config.js'
import { gpt2 } from '../gpt2/model.js'
import type { Gpt2Weights } from '../gpt2/weights.js'
import type { Family } from '../family.js'
import { parseConfig, toConfig } from './config.js'

export const gpt3: Family<Gpt2Config, Gpt2Weights> = {
  ...gpt2,
  name: 'gpt3',
  architecture: 'GPT3LMHeadModel',
  parseConfig,
  toConfig,
}
