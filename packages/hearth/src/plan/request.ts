// From what a person wrote, on a line or in a page, to a request: defaults filled in, and all that is wrong said at once.
import { ConfigError, HearthError, type ConfigIssue } from '@hearth/torch'
import { z } from 'zod'
import { patchesOf } from './diffusion-transformer.js'
import type { PlanRequest } from './forward.js'
import { catalogue as ours } from './catalogue.js'
import { findHardware, type Hardware } from './hardware.js'
import { findModel, type PlannedModel } from './planned-model.js'
import { parseQuantity } from './quantity.js'

const aboveZero = 'must be above 0'
const positive = z.number('expected a number').positive(aboveZero).max(1e30, 'is too large')
const count = z.int('expected a whole number').positive(aboveZero)
const quantity = z
  .union([z.number(), z.string()], 'expected a number such as 300B')
  .transform((given) => (typeof given === 'number' ? given : (parseQuantity(given) ?? NaN)))
  .pipe(z.number('expected a number such as 300B, 1.4T or 10M').positive(aboveZero).max(1e18, 'is too large'))

/** What is asked in words and numbers; units are in the descriptions of the command's options. */
export const planInput = z.strictObject({
  method: z.enum(['full', 'lora', 'qlora']).default('full'),
  rank: count.max(65_536, 'is too large').default(16),
  tokens: quantity.optional(),
  pixels: count.multipleOf(16, 'must be a multiple of 16').max(2048, 'is at most 2048').default(256),
  context: count.max(100_000_000, 'is too large').optional(),
  batch: quantity.optional(),
  devices: count.max(1_000_000, 'is at most a million').default(1),
  network: positive.optional(),
  efficiency: positive.max(1, 'is a share: at most 1').optional(),
  failures: z.number('expected a number').min(0, 'must not be below 0').default(6.5),
  restart: z.number('expected a number').min(0, 'must not be below 0').optional(),
  stall: positive.optional(),
  price: positive.optional(),
  electricity: positive.optional(),
  overhead: positive.min(1, 'is at least 1').default(1.1),
  exchangeEvery: count.optional(),
  histories: z
    .int('expected a whole number')
    .min(0, 'must not be below 0')
    .max(100_000, 'is at most 100000')
    .default(0),
  seed: z.int('expected a whole number').min(0, 'must not be below 0').default(1),
})

export type PlanInput = z.input<typeof planInput> & { model: string; hardware?: string | undefined }
export type CheckedInput = z.output<typeof planInput>

/** Seconds until training goes on, where nothing is said: a job of a cluster that is started again; a run by Hearth here. */
const RESTART = { accelerator: 600, processor: 5 } as const
/** Models that read more are trained on less for the most part. */
const LONGEST_BY_ITSELF = 4096
/** Tokens of a step on one processor. */
const BATCH_HERE = 2048
const ADAPTING_SAMPLES = 32

/**
 * A request that planTraining() takes.
 * @param devices the catalogue by name
 * @throws ConfigError with everything that is wrong
 */
export function readPlan(input: PlanInput, devices: Readonly<Record<string, Hardware>> = ours): PlanRequest {
  const { model: word, hardware: name = 'a100-80gb', ...numbers } = input
  const issues: ConfigIssue[] = []
  const model = told(issues, 'model', () => findModel(word))
  const hardware = told(issues, 'hardware', () => findHardware(name, devices))
  const read = readNumbers(numbers, issues)
  if (read !== undefined && model !== undefined) issues.push(...lengthIssues(model, read))
  if (issues.length > 0 || !model || !hardware || !read) throw new ConfigError('plan', issues)
  return { ...completed(read, model, hardware), hardwareName: name }
}

/** @param issues gets what is wrong with the numbers */
export function readNumbers(numbers: unknown, issues: ConfigIssue[]): CheckedInput | undefined {
  const read = planInput.safeParse(numbers)
  if (read.success) return read.data
  for (const { path, message } of read.error.issues) issues.push({ path: path.join('.') || 'plan', message })
  return undefined
}

/** What fails becomes an issue under a name. */
export function told<T>(issues: ConfigIssue[], path: string, run: () => T): T | undefined {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof HearthError)) throw error
    // Remedies are lists of all names: too much beside other issues.
    issues.push({ path, message: error.message.replace(/\n {2}remedy:.*$/s, '').replaceAll('\n', '\n    ') })
    return undefined
  }
}

function lengthIssues({ modality, shape, name }: PlannedModel, { context }: CheckedInput): ConfigIssue[] {
  if (context === undefined || modality === 'image' || context <= shape.contextLength) return []
  return [{ path: 'context', message: `${name} reads ${shape.contextLength} tokens at most, got ${context}` }]
}

/** Tokens of a sample of a model. */
export const lengthOf = ({ modality, shape }: PlannedModel, { context, pixels }: CheckedInput): number =>
  modality === 'image' ? patchesOf(pixels) : (context ?? Math.min(shape.contextLength, LONGEST_BY_ITSELF))

/** Defaults that depend on the model and the hardware. */
export function completed(
  read: CheckedInput,
  model: PlannedModel,
  hardware: Hardware,
): Omit<PlanRequest, 'hardwareName'> {
  const { context: _, pixels: __, tokens, batch, efficiency, network, restart, price, ...rest } = read
  const length = lengthOf(model, read)
  const samples = model.modality === 'image' ? length : 1
  return {
    ...rest,
    model,
    hardware,
    length,
    // Pictures are counted whole.
    tokens: tokens === undefined ? defaultTokens(model, read) : tokens * samples,
    batch: batch === undefined ? defaultBatch(model, read, hardware, length) : batch * samples,
    efficiency: efficiency ?? hardware.efficiency,
    network: network ?? hardware.network,
    restart: restart ?? RESTART[hardware.kind ?? 'accelerator'],
    price: price ?? hardware.price,
  }
}

/** Compute-optimal from scratch (Hoffmann et al. 2022); 10M tokens to adapt with. */
const defaultTokens = ({ shape }: PlannedModel, { method }: CheckedInput): number =>
  method === 'full' ? 20 * shape.parameters : 1e7

/** GPT-3's batches grow about as the fourth root of the parameters: 0.5M tokens at 125M, 3.2M at 175B (table 2.1). */
function defaultBatch({ shape }: PlannedModel, { method, devices }: CheckedInput, hardware: Hardware, length: number) {
  if (hardware.kind === 'processor') return Math.max(length, BATCH_HERE)
  if (method !== 'full') return Math.max(ADAPTING_SAMPLES, devices) * length
  const tokens = 5e5 * (shape.parameters / 1.25e8) ** 0.25
  return devices * length * Math.max(1, Math.round(tokens / devices / length))
}
