// The part of a run's configuration that says how a model is adapted: what of it is trained, on which rows, to what end.
import { z } from 'zod'
import { BASE_FORMATS } from '../nn/index.js'

const targets = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)])
const positiveInteger = z.int().positive()

export const adaptSchema = z.strictObject({
  method: z
    .enum(['lora', 'dora', 'freeze', 'full'])
    .default('lora')
    .describe('what is trained: low-rank changes (lora, dora), the weights that train names (freeze), or all (full)'),
  base: z
    .enum(BASE_FORMATS)
    .optional()
    .describe(
      'keeps the model in 4 bits (nf4, with double quantisation) or 8 (int8) while low-rank changes are trained: QLoRA; in floats when it is not given',
    ),
  objective: z
    .enum(['answers', 'dpo', 'orpo', 'kto'])
    .default('answers')
    .describe('answers (rows, conversations, texts), dpo or orpo (pairs), kto (rows with a label)'),
  rank: positiveInteger.max(65_536).default(16).describe('rank of the changes'),
  alpha: z.number().positive().default(32).describe('changes count alpha / rank'),
  dropout: z.number().min(0).lt(1).default(0).describe('share of the inputs that changes do not see in training'),
  rsLora: z.boolean().default(false).describe('changes count alpha / √rank: for high ranks'),
  targets: targets
    .default('all-linear')
    .describe('layers that are changed: all-linear, the ends of their names, or an expression for whole names'),
  exclude: z
    .union([z.string().min(1), z.array(z.string().min(1))])
    .default([])
    .describe('layers that are not'),
  rankPattern: z.record(z.string(), positiveInteger).default({}).describe('ranks of some layers, by name'),
  alphaPattern: z.record(z.string(), z.number().positive()).default({}).describe('alphas of some layers, by name'),
  train: z
    .array(z.string().min(1))
    .default([])
    .describe('with freeze: beginnings of the paths of what is trained, blocks.11 or norm'),
  beta: z
    .number()
    .positive()
    .default(0.1)
    .describe('how far dpo and kto may go from the model they begin with; weight of the odds of orpo'),
  desirableWeight: z.number().positive().default(1).describe('weight of wanted rows, of kto'),
  undesirableWeight: z.number().positive().default(1).describe('weight of unwanted rows, of kto'),
  template: z
    .string()
    .min(1)
    .optional()
    .describe('chat template: a name, or Jinja; the tokenizer’s own (or plain) when it is not given'),
  roles: z.array(z.string()).min(1).default(['assistant']).describe('whose turns are trained on'),
  lastTurnOnly: z.boolean().default(false).describe('of a conversation, train on the last such turn alone'),
  endOfTurn: z
    .enum(['all', 'last', 'none'])
    .default('all')
    .describe('train on the token that ends a turn: of all turns, of the last, or of none'),
  trainOnPrompt: z.boolean().default(false).describe('train on prompts too'),
  packing: z.boolean().default(true).describe('put several rows into one sequence; none sees another'),
  merge: z.boolean().default(false).describe('write the adapted model as a Hugging Face folder too'),
})

export type AdaptConfig = z.output<typeof adaptSchema>
