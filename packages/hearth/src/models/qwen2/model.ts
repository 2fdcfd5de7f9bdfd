// Qwen2 and Qwen2.5 (Yang et al. 2024, arXiv:2407.10671): LLaMA with biases on queries, keys and values.
import { llamaFamily } from '../llama/model.js'
import { parseConfig, toConfig } from './config.js'

export const qwen2 = llamaFamily({ name: 'qwen2', architecture: 'Qwen2ForCausalLM', parseConfig, toConfig })
