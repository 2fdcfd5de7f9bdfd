// Mistral 7B (Jiang et al. 2023, arXiv:2310.06825): LLaMA with grouped keys and a window in every layer, so that a token
// reads what lies further back through the layers below.
import { llamaFamily } from '../llama/model.js'
import { parseConfig, toConfig } from './config.js'

export const mistral = llamaFamily({ name: 'mistral', architecture: 'MistralForCausalLM', parseConfig, toConfig })
