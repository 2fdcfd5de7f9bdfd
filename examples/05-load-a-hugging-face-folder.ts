// A model in Hugging Face's files, and back. The folder here is a tiny GPT-2 recorded from PyTorch for the tests.
// Run it: npx tsx examples/05-load-a-hugging-face-folder.ts [FOLDER]
import { rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { noGrad, readSafetensors, scope, tensor } from '@hearth/torch'
import { loadModel, saveModel } from 'hearth/formats'
import { generate } from 'hearth/generate'
import { logits } from 'hearth/models'
import { countParameters, flattenTree } from 'hearth/tree'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const folder = process.argv[2] ?? here('../fixtures/models/gpt2')

// Weights are views of the mapped file: loading reads nothing but the header, whatever the size.
const model = loadModel(folder)
const shape = model.family.shape(model.config)
console.log(
  `${model.family.name}: ${shape.layers} layers of width ${shape.width}, ${countParameters(model.weights)} weights`,
)

// They are a plain tree; the table of names that leads to Hugging Face's is the family's.
const [path, weight] = Object.entries(flattenTree(model.weights))[0]!
console.log(`the first of them: ${path}, [${weight.shape.join(', ')}], ${weight.dtype}`)

const ids = [44, 49, 78, 26, 14]
const best = noGrad(() =>
  scope(() => {
    const input = tensor([ids], { dtype: 'int64' }) // (B, T)
    return logits(model, input, { lastOnly: true }).argmax({ dim: -1 }).item() // (B, 1, V) → ()
  }),
)
console.log(`after ${ids.join(' ')} the likeliest token is ${best}`)

// The same by generation, which keeps keys and values instead of reading everything again.
const written: number[] = []
for await (const id of generate(model, ids, { temperature: 0, maxTokens: 8, eosId: [] })) written.push(id)
console.log(`and so on: ${written.join(' ')}`)

// Saved again, in half the bytes. Other programs read the folder as they read the original.
const copy = here('../runs/examples/gpt2-bfloat16')
rmSync(copy, { recursive: true, force: true })
await saveModel(copy, model, { dtype: 'bfloat16' })
const sizeOf = (dir: string) => statSync(join(dir, 'model.safetensors')).size
console.log(`saved as bfloat16: ${sizeOf(folder)} bytes became ${sizeOf(copy)}`)
using file = readSafetensors(join(copy, 'model.safetensors'))
console.log(`it holds ${file.entries.size} tensors, the first is ${[...file.entries.keys()][0]}`)
