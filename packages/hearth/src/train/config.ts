// The configuration of a run: one schema that validates, fills defaults, documents and types it.
// Recipes return a `RunConfig`; the command line overrides any field by its dotted path. Nothing here reads files.
import { ConfigError, type ConfigIssue } from '@hearth/torch'
import { distance } from 'fastest-levenshtein'
import { z } from 'zod'
import { adaptSchema } from './adapt-config.js'
import { guard } from './guard-config.js'
import { crossChecks } from './config-checks.js'

const positiveInteger = z.int().positive()
// Of which a step makes tensors.
const size = positiveInteger.max(2 ** 24)
const fraction = z.number().min(0).max(1)

const source = z.strictObject({
  path: z.string().min(1).describe('file, folder or glob of text: .txt .md .jsonl .csv .parquet, also .gz and .zst'),
  weight: z
    .number()
    .positive()
    .optional()
    .describe('share of the tokens that come from this source, relative to the others; its size when it is not given'),
  heldOutFraction: fraction
    .optional()
    .describe('share of this source kept for measuring, in place of that of all sources'),
  textColumn: z.string().default('text').describe('column that holds the text, in .jsonl, .csv and .parquet'),
})

const data = z.strictObject({
  sources: z.array(source).min(1).describe('where the text comes from'),
  heldOutFraction: fraction.default(0.05).describe('share of the documents kept for measuring, chosen by their hash'),
  folder: z.string().optional().describe('where prepared tokens are kept; inside the run when it is not given'),
})

const tokenizer = z.strictObject({
  path: z.string().optional().describe('folder or tokenizer.json to use; trained on the data when it is not given'),
  vocabularySize: z.int().min(257).default(4096).describe('size of the vocabulary when a tokenizer is trained'),
})

const model = z.strictObject({
  preset: z.string().optional().describe('name of a published shape: gpt2-124m, pythia-160m, llama-7b, spark, ...'),
  folder: z.string().optional().describe('Hugging Face folder whose weights to start from'),
  config: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('fields of the Hugging Face config that replace those of the preset'),
})

const optimizer = z.strictObject({
  name: z.enum(['adamw', 'sgd', 'muon']).default('adamw').describe('how gradients become updates'),
  learningRate: z.number().positive().describe('learning rate after warm-up'),
  embeddingLearningRateScale: z
    .number()
    .positive()
    .default(1)
    .describe('learning rate of token embeddings, as a multiple: their rows are updated seldom'),
  muonLearningRate: z.number().positive().default(0.02).describe('learning rate of the matrices that Muon updates'),
  weightDecay: z.number().min(0).default(0.1).describe('decoupled weight decay of tensors with two or more dimensions'),
  beta1: z.number().min(0).lt(1).default(0.9).describe('decay of the first moment'),
  beta2: z.number().min(0).lt(1).default(0.95).describe('decay of the second moment'),
  eps: z.number().positive().default(1e-8).describe('added to the root of the second moment'),
  moments: z
    .enum(['float32', '8bit'])
    .optional()
    .describe("how AdamW keeps its moments: 8bit takes a quarter of float32's memory; float32 when it is not given"),
  momentum: z.number().min(0).lt(1).default(0.95).describe('momentum of SGD and Muon'),
  clip: z.number().min(0).default(1).describe('largest global norm of the gradient; 0 for any'),
})

const schedule = z.strictObject({
  kind: z
    .enum(['cosine', 'linear', 'constant', 'wsd'])
    .default('cosine')
    .describe('shape of the learning rate after warm-up'),
  warmupSteps: z.int().min(0).default(100).describe('steps over which the learning rate rises from 0'),
  minRatio: fraction.default(0.1).describe('last learning rate, as a share of the highest'),
  decayFraction: fraction.default(0.2).describe('share of the steps in which warmup-stable-decay comes down'),
})

const every = z.strictObject({
  log: positiveInteger
    .default(10)
    .describe('steps between lines in metrics.jsonl, besides those of measurements and of the last step'),
  evaluate: positiveInteger.default(250).describe('steps between measurements on held-out text'),
  checkpoint: positiveInteger.default(250).describe('steps between durable checkpoints'),
  sample: z.int().min(0).default(0).describe('steps between written samples; 0 for none'),
})

const copy = z.strictObject({
  to: z
    .string()
    .min(1)
    .describe(
      'a folder on another disk, or s3://bucket/prefix: the run gets a folder of its name in it. Credentials come from the environment or ~/.aws alone',
    ),
  endpoint: z
    .url({ protocol: /^https?$/, error: 'expected the address of a server, as https://minio.example:9000' })
    .optional()
    .describe('address of a server that speaks S3; that of AWS when it is not given'),
  region: z
    .string()
    .min(1)
    .optional()
    .describe('region of the bucket; that of AWS_REGION or ~/.aws when it is not given'),
  readBack: z
    .boolean()
    .default(true)
    .describe('read each copy back and compare it before it counts; without it only the checksums of the client do'),
})

/** The schema of a run's configuration. Every field has a description: the documentation is made from them. */
export const runConfigSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[\w.-]+$/, 'expected letters, digits, dot, dash and underscore only')
    .describe('name of the run and of its folder'),
  seed: z.int().min(0).default(1337).describe('decides initial weights and the order of the data'),
  steps: positiveInteger.describe('optimizer steps'),
  batch: size.describe('sequences in one step'),
  slots: positiveInteger
    .default(1)
    .describe('gradient slots: equal parts of the batch whose gradients are summed in a fixed tree'),
  sequenceLength: size.describe('tokens in a sequence'),
  dtype: z.enum(['auto', 'float32', 'bfloat16']).default('auto').describe('arithmetic of forward and backward'),
  weights: z
    .enum(['float32', 'bfloat16'])
    .default('float32')
    .describe(
      'how trained weights are kept: bfloat16 takes half the memory, without masters; updates are rounded up or down by chance, and arithmetic is bfloat16',
    ),
  device: z
    .union([z.literal('cpu'), z.templateLiteral(['cuda', z.literal('')]), z.templateLiteral(['cuda:', z.int()])], {
      error: 'expected cpu, cuda or cuda:N',
    })
    .default('cpu')
    .describe('cpu, cuda or cuda:N'),
  activationCheckpointing: z
    .boolean()
    .default(false)
    .describe('recompute blocks in the backward pass: less memory, a third more work'),
  updateInBackward: z
    .boolean()
    .default(false)
    .describe(
      'update weights block by block in the backward pass and free their gradients: for one slot, with activationCheckpointing. Clipping takes a pass of its own before; with optimizer.clip=0 and guard.spikeDeviations=0 there is one pass',
    ),
  model,
  tokenizer: tokenizer.default(tokenizer.parse({})),
  data,
  adapt: adaptSchema.optional().describe('how a model is adapted to rows, in place of training on text'),
  optimizer,
  schedule: schedule.default(schedule.parse({})),
  every: every.default(every.parse({})),
  guard: guard.default(guard.parse({})),
  keepCheckpoints: positiveInteger.default(2).describe('durable checkpoints that are kept'),
  copies: z.array(copy).default([]).describe('where durable checkpoints are copied to as well'),
  evaluateTokens: positiveInteger
    .default(65536)
    .describe('held-out tokens that a measurement reads during training; all of them at the end'),
  samplePrompt: z.string().default('').describe('text that samples go on from'),
})

/** A configuration with every default filled in, as it is saved with the run. */
export type RunConfig = z.output<typeof runConfigSchema>
/** A configuration as a recipe or a person writes it. */
export type RunConfigInput = z.input<typeof runConfigSchema>

/**
 * Fills defaults and checks every field, also those that must agree with each other.
 * @throws ConfigError listing everything that is wrong at once
 */
export function resolveConfig(input: unknown, where = 'configuration'): RunConfig {
  const parsed = runConfigSchema.safeParse(input, { reportInput: true })
  const issues = parsed.success ? crossChecks(parsed.data) : parsed.error.issues.flatMap(describeIssue)
  if (!parsed.success || issues.length > 0) throw new ConfigError(where, issues)
  return parsed.data
}

function describeIssue(issue: z.core.$ZodIssue): ConfigIssue[] {
  const path = issue.path.join('.')
  if (issue.code !== 'unrecognized_keys')
    return [{ path: path === '' ? '(whole)' : path, message: `got ${shown(issue.input)}; ${expectation(issue)}` }]
  return issue.keys.map((key) => ({
    path: path === '' ? key : `${path}.${key}`,
    message: `unknown field${suggestion(key, fieldsAt(issue.path))}`,
  }))
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'number') return String(value)
  const text = JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

const NOUNS: Record<string, string> = {
  int: 'a whole number',
  number: 'a number',
  string: 'a text',
  boolean: 'true or false',
  array: 'a list',
  object: 'fields',
  record: 'fields',
}
const nounOf = (kind: string): string => NOUNS[kind] ?? kind

/** What a field takes, in words: schemas with a message of their own say it themselves. */
function expectation(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${nounOf(issue.expected)}`
    case 'too_small':
      return `expected ${issue.origin === 'number' || issue.origin === 'int' ? `a number ${issue.inclusive ? 'from' : 'above'} ${issue.minimum}` : `${nounOf(issue.origin)} that is not empty`}`
    case 'too_big':
      return `expected a number ${issue.inclusive ? 'up to' : 'below'} ${issue.maximum}`
    case 'invalid_value':
      return `expected one of ${issue.values.join(', ')}`
    default:
      return issue.message
  }
}

/** The field names that the schema knows at a path. */
function fieldsAt(path: readonly PropertyKey[]): string[] {
  const paths = configFields().map((field) => field.path.split('.'))
  return [
    ...new Set(
      paths
        .filter((parts) => path.every((key, i) => parts[i] === String(key) || typeof key === 'number'))
        .map((parts) => parts[path.length] ?? ''),
    ),
  ]
}

/** `; did you mean "learningRate"?` when a known name is near. */
export function suggestion(got: string, known: readonly string[]): string {
  const near = known
    .map((name) => ({ name, far: distance(got.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.far - b.far)[0]
  return near !== undefined && near.far <= Math.max(2, got.length / 3) ? `; did you mean "${near.name}"?` : ''
}

export interface ConfigField {
  /** Dotted, as after `--set`. */
  path: string
  description: string
  /** JSON of the default; undefined when the field must be given. */
  defaultText: string | undefined
}

/** Every field of the configuration, for help, documentation and suggestions. */
export function configFields(): ConfigField[] {
  const fields: ConfigField[] = []
  const visit = (node: z.core.JSONSchema.JSONSchema, path: string) => {
    for (const [key, child] of Object.entries(node.properties ?? {})) {
      const schema = child as z.core.JSONSchema.JSONSchema
      const at = path === '' ? key : `${path}.${key}`
      const items = schema.items as z.core.JSONSchema.JSONSchema | undefined
      if (schema.properties) visit(schema, at)
      else if (items?.properties) visit(items, `${at}.0`)
      else
        fields.push({
          path: at,
          description: schema.description ?? '',
          defaultText: schema.default === undefined ? undefined : JSON.stringify(schema.default),
        })
    }
  }
  visit(z.toJSONSchema(runConfigSchema, { io: 'input', unrepresentable: 'any' }), '')
  return fields
}
