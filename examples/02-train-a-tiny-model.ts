// A language model from nothing in a few seconds: a tokenizer, a model, a trainer, each a plain piece. It learns four
// poems of Lewis Carroll by heart and is kept as a Hugging Face folder, for 04-generate.ts.
// Run it: npx tsx examples/02-train-a-tiny-model.ts
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { hashCounters, trainByteLevelBpe, type TextBatch } from 'hearth/data'
import { saveModel } from 'hearth/formats'
import { createModel } from 'hearth/models'
import { adamw, schedule } from 'hearth/optim'
import { nextToken, Trainer } from 'hearth/train'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const SEQUENCE = 32
const BATCH = 8
const STEPS = 150

// Text into tokens, by a vocabulary trained on it.
const text = readFileSync(here('texts/carroll.txt'), 'utf8')
const tokenizer = await trainByteLevelBpe([text], { vocabSize: 512 })
const ids = tokenizer.encode(text)
console.log(`${text.length} characters are ${ids.length} tokens of a vocabulary of ${tokenizer.vocabSize}`)

// A model is plain data: a tree of weights, a configuration, and the functions of its family.
const model = createModel(
  {
    model_type: 'llama',
    vocab_size: tokenizer.vocabSize,
    hidden_size: 96,
    intermediate_size: 256,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    max_position_embeddings: 256,
    tie_word_embeddings: true,
    bos_token_id: 0,
    eos_token_id: 0,
  },
  { seed: 1 },
)
console.log(`${model.family.shape(model.config).parameters} parameters`)

// A batch is a function of the step and nothing else: that is why training can stop anywhere and go on exactly.
function batchOf(step: number): TextBatch {
  const inputs = new Int32Array(BATCH * SEQUENCE)
  const targets = new Int32Array(BATCH * SEQUENCE)
  for (let row = 0; row < BATCH; row++) {
    const start = hashCounters(1, step, row) % (ids.length - SEQUENCE)
    inputs.set(ids.subarray(start, start + SEQUENCE), row * SEQUENCE)
    targets.set(ids.subarray(start + 1, start + SEQUENCE + 1), row * SEQUENCE)
  }
  return { inputs, targets, shape: [BATCH, SEQUENCE] }
}

const trainer = new Trainer({
  weights: model.weights,
  objective: nextToken(model),
  batches: { slotAt: batchOf },
  optimizer: adamw({ weightDecay: 0.1 }),
  schedule: schedule({ kind: 'cosine', peak: 4e-3, warmupSteps: 10, totalSteps: STEPS, minRatio: 0.1 }),
  slots: 1,
  clip: 1,
  dtype: 'float32',
  device: 'cpu',
  seed: 1,
  activationCheckpointing: false,
})
for await (const step of trainer.steps(STEPS)) {
  if (step.number === 1 || step.number % 50 === 0) console.log(`step ${step.number}: loss ${step.loss.toFixed(3)}`)
}

await saveModel(here('../runs/examples/carroll'), model, { tokenizer })
console.log('kept in runs/examples/carroll')
