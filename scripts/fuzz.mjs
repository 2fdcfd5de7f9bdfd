// `npm run fuzz -- PARSER --seed N --seconds S` fuzzes a parser of files (safetensors, gguf, pickle, tokenizer, neox);
// without a parser, calls of operators with wrong arguments.
import { setupOrExit } from './setup/index.mjs'
import { runTypescript } from './tsx.mjs'

await setupOrExit()
const [first] = process.argv.slice(2)
const ofParsers = first !== undefined && !first.startsWith('--')
process.exitCode = await runTypescript(
  ofParsers ? 'packages/hearth/test/fuzz/main.ts' : 'packages/torch/test/fuzz.ts',
  process.argv.slice(2),
)
