// Qwen3 (Yang et al. 2025, arXiv:2505.09388), the dense ones: LLaMA with RMS norms over each head's queries and keys
// instead of biases.
import { llamaFamily } from '../llama/model.js'
import { parseConfig, toConfig } from './config.js'

export const qwen3 = llamaFamily({ name: 'qwen3', architecture: 'Qwen3ForCausalLM', parseConfig, toConfig })
