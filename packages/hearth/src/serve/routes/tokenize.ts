// POST /tokenize: the ids of a text, as a model reads it.
import { badRequest, parseBody } from '../api-error.js'
import { tokenizeSchema } from '../schemas/embeddings.js'
import type { RoutePlugin } from './route.js'

export const tokenize: RoutePlugin = (app, { catalog }) => {
  app.post('/tokenize', (request) => {
    const {
      model: name,
      text,
      prompt,
      add_special_tokens: addSpecialTokens = true,
    } = parseBody(tokenizeSchema, request.body)
    const given = text ?? prompt
    if (given === undefined) throw badRequest('is missing', 'text')
    const { tokenizer, facts } = catalog.get(name)
    const tokens = [...tokenizer.encode(given, { addSpecialTokens })]
    const texts = tokens.map((id) => tokenizer.decode([id], { skipSpecialTokens: false }))
    return { tokens, token_strs: texts, count: tokens.length, max_model_len: facts.contextLength }
  })
}
