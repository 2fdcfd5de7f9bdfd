// The bodies of POST /v1/embeddings and POST /tokenize.
import { z } from 'zod'
import { optional, samplingFields, textsSchema } from './sampling.js'

export const embeddingsSchema = z.object({
  model: samplingFields.model,
  input: textsSchema(2048),
  encoding_format: optional(z.enum(['float', 'base64'])),
  dimensions: optional(z.int().min(1).max(1_000_000)),
})

export const tokenizeSchema = z.object({
  model: samplingFields.model,
  text: optional(z.string()),
  prompt: optional(z.string()),
  add_special_tokens: optional(z.boolean()),
})
