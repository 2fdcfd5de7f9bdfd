// `hearth score`: how well a model predicts given ids or a given text.
import { defineCommand } from '../command.js'
import { UsageError } from '../failure.js'
import { quantizeOption } from '../quantize.js'
import type { ScoreResult } from '../scoring.js'
import type { Terminal } from '../terminal.js'

export const score = defineCommand({
  name: 'score',
  summary: 'measure how well a model predicts a text or given ids',
  description: [
    'Prints the loss in nats per token, the perplexity and, for text, the bits per byte. Every token is predicted once, from those before it; a text that is longer than the model’s context is cut into windows of that length, each read on its own. A text begins after the token that begins or ends documents, so that its first token counts too.',
    '--ids takes a JSON file: an array of ids, or an array of such arrays, whose loss is the mean over all their predicted tokens.',
  ],
  arguments: {
    model: {
      description: 'Hugging Face folder, GGUF file, owner/name on the hub, a run, or a checkpoint of a run',
      required: true,
    },
  },
  options: {
    ids: { kind: 'text', value: 'FILE', description: 'JSON file of token ids' },
    text: { kind: 'text', value: 'FILE', description: 'text file' },
    stride: {
      kind: 'integer',
      value: 'N',
      minimum: 1,
      description:
        'tokens between the starts of two windows: smaller gives each token more before it, and takes longer',
    },
    quantize: quantizeOption,
    lastLogits: { kind: 'flag', description: 'also the logits of the last position (of each array of ids)' },
    json: { kind: 'flag', description: 'print the answer as JSON' },
  },
  examples: [
    { line: 'hearth score runs/quickstart --text chapter.txt', does: 'Bits per byte of a text' },
    { line: 'hearth score models/gpt2 --ids ids.json --last-logits --json', does: 'Everything, exactly' },
  ],
  async run({ arguments: { model: word }, options: { ids, text, stride, quantize, lastLogits, json }, terminal }) {
    if ((ids === undefined) === (text === undefined))
      throw new UsageError(['give either --ids FILE or --text FILE'], 'score')
    const { openModel } = await import('../model-source.js')
    const { readIdsFile, scoreSequences, textSequence } = await import('../scoring.js')
    const source = ids === undefined ? undefined : readIdsFile(ids)
    const opened = await openModel(word, terminal.note, { quantize })
    const { sequences, bytes } =
      source === undefined ? textSequence(text!, opened) : { sequences: source, bytes: undefined }
    const result = await scoreSequences(opened.model, sequences, { bytes, stride, wantLogits: lastLogits })
    if (json) terminal.json(result)
    else print(result, terminal)
  },
})

function print({ loss, perplexity, bitsPerByte, tokens, lastLogits }: ScoreResult, terminal: Terminal): void {
  terminal.print(`loss         ${loss.toFixed(5)} nats per token, over ${tokens} tokens`)
  terminal.print(`perplexity   ${perplexity.toFixed(3)}`)
  if (bitsPerByte !== undefined) terminal.print(`per byte     ${bitsPerByte.toFixed(4)} bits`)
  if (lastLogits !== undefined) terminal.print(`last logits  ${JSON.stringify(lastLogits)}`)
}
