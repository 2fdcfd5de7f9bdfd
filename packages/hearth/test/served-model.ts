// A model with a tokenizer in a folder, small enough to be served in a test: what it writes means nothing, and is always the
// same.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { noGrad } from '@hearth/torch'
import { createAdapter, saveAdapter } from '../src/adapt/index.js'
import { Tokenizer, trainByteLevelBpe } from '../src/data/index.js'
import { saveModel } from '../src/formats/index.js'
import { createModel, type LanguageModel } from '../src/models/index.js'
import { leavesOf } from '../src/tree/index.js'

export const poems = readFileSync(
  fileURLToPath(new URL('../../../examples/texts/carroll.txt', import.meta.url)),
  'utf8',
)

/** Writes the model; returns it with its tokenizer. */
export async function writeTinyModel(
  folder: string,
  { context = 256, config = {} }: { context?: number; config?: object } = {},
): Promise<{ model: LanguageModel; tokenizer: Tokenizer }> {
  const tokenizer = await trainByteLevelBpe([poems], { vocabSize: 320 })
  const model = createModel(
    {
      model_type: 'llama',
      hidden_size: 32,
      num_hidden_layers: 2,
      num_attention_heads: 2,
      intermediate_size: 64,
      max_position_embeddings: context,
      vocab_size: tokenizer.vocabSize,
      initializer_range: 0.3,
      eos_token_id: tokenizer.endOfText,
      ...config,
    },
    { seed: 7 },
  )
  await saveModel(folder, model, { tokenizer })
  return { model, tokenizer: await Tokenizer.load(folder) }
}

/** An adapter that changes what the model says. */
export async function writeAdapter(folder: string, model: LanguageModel): Promise<void> {
  const adapter = createAdapter(model, { rank: 2, alpha: 64 }, { seed: 3 })
  noGrad(() => leavesOf(adapter.weights).forEach((tensor) => tensor.fill_(0.05)))
  await saveAdapter(folder, model, adapter, { base: 'tiny' })
}
