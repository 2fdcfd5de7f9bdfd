// scheduler_config.json: the names, the meaning and the defaults of diffusers. Keys that say nothing about noise are
// passed over; values that would change the arithmetic in a way that is not built are refused.
import { ConfigError } from '@hearth/torch'
import { z } from 'zod'

const count = z.int().min(1)
const share = z.number().gt(0).lt(1)
const notBuilt = z.literal(false, 'is not supported; only false is').default(false)

const fields = z.object({
  num_train_timesteps: count.max(100_000).default(1000),
  beta_start: share.default(0.0001),
  beta_end: share.default(0.02),
  beta_schedule: z.enum(['linear', 'scaled_linear', 'squaredcos_cap_v2', 'sigmoid']).default('linear'),
  trained_betas: z.array(share).min(1).optional(),
  prediction_type: z.enum(['epsilon', 'sample', 'v_prediction']).default('epsilon'),
  timestep_spacing: z.enum(['leading', 'linspace', 'trailing']).default('leading'),
  steps_offset: z.int().min(0).default(0),
  rescale_betas_zero_snr: z.boolean().default(false),
  clip_sample: z.boolean().default(false),
  clip_sample_range: z.number().gt(0).default(1),
  thresholding: z.boolean().default(false),
  dynamic_thresholding_ratio: z.number().gt(0).max(1).default(0.995),
  sample_max_value: z.number().min(1).default(1),
  set_alpha_to_one: z.boolean().default(true),
  use_karras_sigmas: z.boolean().default(false),
  use_exponential_sigmas: notBuilt,
  use_beta_sigmas: notBuilt,
  use_lu_lambdas: notBuilt,
  use_flow_sigmas: notBuilt,
  final_sigmas_type: z.enum(['zero', 'sigma_min']).default('zero'),
  interpolation_type: z.literal('linear').default('linear'),
  timestep_type: z.literal('discrete').default('discrete'),
})

/** A scheduler's configuration with every default filled in, under diffusers' names. */
export type SchedulerConfig = z.output<typeof fields>
/** The fields that a person or a file gives. */
export type SchedulerConfigInput = z.input<typeof fields>

/**
 * Checks a configuration and fills what it leaves out. A field that is null is one that is left out.
 * @param defaults what a scheduler assumes where it differs from the most common default
 * @throws ConfigError listing everything that is wrong
 */
export function readSchedulerConfig(
  json: unknown,
  defaults: SchedulerConfigInput = {},
  where = 'scheduler_config.json',
): SchedulerConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new ConfigError(where, [{ path: '(root)', message: 'must be an object' }])
  const given = Object.entries(json).filter(([, value]) => value !== null)
  const parsed = fields.safeParse({ ...defaults, ...Object.fromEntries(given) }, { reportInput: true })
  if (!parsed.success)
    throw new ConfigError(
      where,
      parsed.error.issues.map(({ path, message, input }) => ({
        path: path.join('.'),
        message: `got ${JSON.stringify(input)}; ${message}`,
      })),
    )
  const { trained_betas: betas } = parsed.data
  return betas === undefined ? parsed.data : { ...parsed.data, num_train_timesteps: betas.length }
}
