// `hearth evaluate`: models side by side on tasks of lm-evaluation-harness.
import { defineCommand } from '../command.js'
import { UsageError } from '../failure.js'
import { quantizeOption } from '../quantize.js'

export const evaluate = defineCommand({
  name: 'evaluate',
  summary: 'score models on tasks, here or at an endpoint, side by side',
  description: [
    'Asks each model the questions of tasks and prints one table with the standard errors. Tasks are those of lm-evaluation-harness: lambada, hellaswag, arc_easy, arc_challenge, piqa, sciq, winogrande, mmlu, wikitext and gsm8k are here by name, others as their YAML files. Their data comes from the hub, or from files that the YAML names.',
    'A model is a folder, a GGUF file, a name on the hub or a run; or the address of an OpenAI-compatible endpoint, as http://127.0.0.1:8080/v1#NAME (…/v1/chat/completions#NAME for a chat endpoint, which can only be asked what is generated). Its key is read from OPENAI_API_KEY.',
  ],
  arguments: {
    models: { description: 'models, and addresses of endpoints', required: true, many: true },
  },
  options: {
    tasks: { kind: 'text', value: 'NAMES', description: 'names of tasks, groups and tags, or task files, with commas' },
    limit: {
      kind: 'number',
      value: 'N',
      minimum: 0,
      description: 'only the first N rows of each task; below 1 a share of them',
    },
    numFewshot: { kind: 'integer', value: 'N', minimum: 0, description: 'solved examples before each question' },
    batchSize: {
      kind: 'integer',
      value: 'N',
      minimum: 1,
      maximum: 1024,
      default: 8,
      description: 'texts that are read, or requests that are sent, at once; changes no figure',
    },
    output: { kind: 'text', value: 'DIR', description: 'folder for the results as JSON, in the harness’s form' },
    logSamples: { kind: 'flag', description: 'with --output, also every question and answer' },
    seed: { kind: 'integer', value: 'N', minimum: 0, default: 1234, description: 'of the draw of examples' },
    bootstrap: {
      kind: 'integer',
      value: 'N',
      minimum: 0,
      default: 100000,
      description: 'draws for standard errors that have no formula; 0 for no standard errors',
    },
    tokenizer: {
      kind: 'text',
      value: 'FOLDER',
      description: 'tokenizer of the models at endpoints; without it prompts are sent as texts',
    },
    contextLength: {
      kind: 'integer',
      value: 'N',
      minimum: 2,
      default: 2048,
      description: 'tokens that models at endpoints read, with --tokenizer',
    },
    quantize: quantizeOption,
    json: { kind: 'flag', description: 'print the results as JSON, one object for each model' },
  },
  examples: [
    {
      line: 'hearth evaluate runs/quickstart --tasks arc_easy,piqa --limit 100',
      does: 'A model that was trained here',
    },
    {
      line: 'hearth evaluate EleutherAI/pythia-160m http://127.0.0.1:8080/v1#other --tasks lambada_openai --output results',
      does: 'Two models side by side',
    },
    { line: 'hearth evaluate models/mine --tasks my-task.yaml --num-fewshot 3', does: 'A task of your own' },
  ],
  async run({ arguments: { models }, options, terminal }) {
    const names = (options.tasks ?? '')
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '')
    if (names.length === 0) throw new UsageError(['give --tasks NAMES, as --tasks arc_easy,piqa'], 'evaluate')
    if (options.limit === 0)
      throw new UsageError(['--limit is 0; expected at least one row, or a share above 0'], 'evaluate')
    if (options.logSamples && options.output === undefined)
      throw new UsageError(['--log-samples needs --output DIR'], 'evaluate')
    const { evaluateModels } = await import('../evaluation.js')
    await evaluateModels(models, names, options, terminal)
  },
})
