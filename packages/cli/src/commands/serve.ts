// `hearth serve`: models behind OpenAI's API.
import { defineCommand } from '../command.js'
import { quantizeOption } from '../quantize.js'

export const serve = defineCommand({
  name: 'serve',
  summary: 'serve models over HTTP, as OpenAI’s API does',
  description: [
    'Speaks /v1/models, /v1/completions (also echo with logprobs, as evaluation harnesses ask for it), /v1/chat/completions (tools, JSON, streams), /v1/responses, /v1/embeddings, /v1/files and /v1/fine_tuning/jobs (each a run of `hearth adapt`, whose adapter is served at once), /tokenize, /health and /metrics (Prometheus). Existing clients need nothing but its address.',
    'Each model runs in a process of its own: should it die, its requests end with an error, and it is back at once. It listens on this machine alone; another address (--host) needs a key (--key, or HEARTH_API_KEY). Ctrl+C or SIGTERM let what is being written end first.',
  ],
  arguments: {
    models: {
      description: 'Hugging Face folders, GGUF files or finished runs, as MODEL or MODEL=NAME',
      required: true,
      many: true,
    },
  },
  options: {
    adapter: {
      kind: 'list',
      value: 'NAME=DIR',
      description:
        'adapter folder (PEFT), or a run that trained one, served under NAME; NAME@MODEL=DIR where there are several models',
    },
    host: { kind: 'text', value: 'ADDRESS', default: '127.0.0.1', description: 'address to listen on' },
    port: {
      kind: 'integer',
      value: 'N',
      default: 8080,
      minimum: 0,
      maximum: 65535,
      description: 'port to listen on; 0 for any that is free',
    },
    key: { kind: 'list', value: 'KEY', description: 'key that requests must have, of at least 16 characters' },
    allowHost: { kind: 'list', value: 'NAME', description: 'name under which the server may be called' },
    allowOrigin: { kind: 'list', value: 'ORIGIN', description: 'web page that may call it, as https://example.org' },
    data: {
      kind: 'text',
      value: 'DIR',
      default: 'hearth-serve',
      description: 'folder that keeps uploaded files and fine-tuning jobs; made when the first comes',
    },
    quantize: quantizeOption,
    threads: {
      kind: 'integer',
      value: 'N',
      minimum: 1,
      description: 'threads of each model; all cores when not given',
    },
    maxRequests: {
      kind: 'integer',
      value: 'N',
      default: 128,
      minimum: 1,
      description: 'texts in the works at once, waiting ones included; more are refused',
    },
    maxBody: {
      kind: 'integer',
      value: 'MIB',
      default: 4,
      minimum: 1,
      maximum: 1024,
      description: 'largest body of a request',
    },
    drain: {
      kind: 'number',
      value: 'SECONDS',
      default: 30,
      minimum: 0,
      description: 'how long texts may take to end when the server is told to',
    },
  },
  examples: [
    { line: 'hearth serve runs/quickstart', does: 'Serve a run on http://127.0.0.1:8080/v1' },
    {
      line: 'hearth serve models/pythia-160m=pythia --adapter polite=runs/polite',
      does: 'A model, and an adapter on it',
    },
    { line: 'HEARTH_API_KEY=... hearth serve models/llama --host 0.0.0.0', does: 'Open to other machines, with a key' },
  ],
  async run({ arguments: { models }, options, terminal }) {
    const { readServeLine } = await import('../serving.js')
    const { untilStopped } = await import('../serve-session.js')
    await untilStopped(await readServeLine(models, options), terminal)
  },
})
