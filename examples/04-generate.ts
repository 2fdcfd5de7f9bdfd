// Text from a model, as it is written. The model is the one of 02-train-a-tiny-model.ts; any Hugging Face folder of a
// known family will do: npx tsx examples/04-generate.ts FOLDER PROMPT
// Run it: npx tsx examples/04-generate.ts
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Tokenizer } from 'hearth/data'
import { loadModel } from 'hearth/formats'
import { completeText, generateText, scoreTokens } from 'hearth/generate'

const [folder = fileURLToPath(new URL('../runs/examples/carroll', import.meta.url)), prompt = "'Twas brillig"] =
  process.argv.slice(2)
if (!existsSync(folder)) {
  console.error(`${folder} is missing; first: npx tsx examples/02-train-a-tiny-model.ts`)
  process.exit(1)
}

const model = loadModel(folder)
const tokenizer = await Tokenizer.load(folder)

// The likeliest token each time, streamed in whole characters. What it learned by heart it says by heart.
process.stdout.write(prompt)
for await (const piece of generateText(model, tokenizer, prompt, { temperature: 0, maxTokens: 40 })) {
  process.stdout.write(piece)
}
console.log()

// With chance in it: the same seed gives the same text, whatever happened before.
const settings = { temperature: 1.2, topP: 0.95, maxTokens: 30, stop: ['\n\n'] }
const [first, second, third] = await Promise.all(
  [7, 7, 8].map((seed) => completeText(model, tokenizer, prompt, { ...settings, seed })),
)
console.log(`\nseed 7: ${JSON.stringify(first!.text)} (ended by ${first!.reason})`)
console.log(`seed 7 again gives the same: ${first!.text === second!.text}; seed 8: ${first!.text === third!.text}`)

// How likely the model finds a text: the poem it knows, and one it does not.
for (const text of ["'Twas brillig, and the slithy toves", 'Shall I compare thee to a summer’s day']) {
  const { loss, nats } = await scoreTokens(model, tokenizer.encode(text))
  const bits = nats / Math.LN2 / Buffer.byteLength(text)
  console.log(`${loss.toFixed(2)} nats per token, ${bits.toFixed(2)} bits per byte: ${text}`)
}
