// What must agree between the fields of a run's configuration. Not here: what each field may be (config.ts).
import type { ConfigIssue } from '@hearth/torch'
import { insidePlace, isS3, placeProblem } from '../checkpoint/index.js'
import type { AdaptConfig } from './adapt-config.js'
import type { RunConfig } from './config.js'

/** Everything that does not fit together. */
export function crossChecks(config: RunConfig): ConfigIssue[] {
  const issues: ConfigIssue[] = []
  const say = (path: string, message: string) => issues.push({ path, message })
  for (const [index, { to, endpoint }] of config.copies.entries()) {
    const problem = placeProblem(to) ?? placeProblem(insidePlace({ to }, config.name).to)
    if (problem !== undefined) say(`copies.${index}.to`, problem)
    if (endpoint !== undefined && !isS3(to)) say(`copies.${index}.endpoint`, 'is for s3://bucket/prefix alone')
    if (endpoint !== undefined && /\/\/[^/]*@/.test(endpoint))
      say(`copies.${index}.endpoint`, 'holds a name or password: credentials come from the environment or ~/.aws')
    if (config.copies.findIndex((copy) => copy.to === to) < index) say(`copies.${index}.to`, `${to} is named twice`)
  }
  // Without weights a source counts by its tokens: a scale that weights of one's own do not share.
  const weighed = config.data.sources.filter(({ weight }) => weight !== undefined).length
  if (weighed > 0 && weighed < config.data.sources.length)
    say('data.sources', `${weighed} of ${config.data.sources.length} have a weight; give all of them one, or none`)
  if (config.batch % config.slots !== 0) say('slots', `${config.slots} does not divide batch ${config.batch}`)
  if (config.schedule.warmupSteps >= config.steps)
    say('schedule.warmupSteps', `${config.schedule.warmupSteps} is not below steps (${config.steps})`)
  if (config.optimizer.moments !== undefined && config.optimizer.name === 'sgd')
    say('optimizer.moments', "are AdamW's, and those of what Muon leaves to it; sgd has none")
  if ((config.model.preset === undefined) === (config.model.folder === undefined))
    say('model', 'give either preset or folder')
  issues.push(...memoryIssues(config))
  if (config.adapt !== undefined) issues.push(...adaptIssues(config, config.adapt))
  return issues
}

/** What saves memory has its price in what else is possible. */
function memoryIssues(config: RunConfig): ConfigIssue[] {
  const { weights, dtype, updateInBackward, activationCheckpointing, slots, optimizer, guard, adapt } = config
  const issues: ConfigIssue[] = []
  const say = (path: string, message: string) => issues.push({ path, message })
  if (weights === 'bfloat16' && dtype === 'float32')
    say('weights', 'bfloat16 weights are computed with in bfloat16: leave dtype out, or keep float32 weights')
  if (weights === 'bfloat16' && (adapt?.method === 'lora' || adapt?.method === 'dora'))
    say('weights', 'low-rank changes are small and stay float32: bfloat16 is for weights of the model')
  if (!updateInBackward) return issues
  if (!activationCheckpointing) say('updateInBackward', 'goes block by block: it needs activationCheckpointing=true')
  if (slots !== 1) say('updateInBackward', `needs gradients to be complete in one slot, got slots=${slots}`)
  if (optimizer.clip === 0 && guard.spikeDeviations !== 0)
    say('updateInBackward', 'in one pass (optimizer.clip=0) cannot take a step back: it needs guard.spikeDeviations=0')
  return issues
}

function adaptIssues(
  { model, batch, slots }: RunConfig,
  { objective, method, train, base }: AdaptConfig,
): ConfigIssue[] {
  const issues: ConfigIssue[] = []
  if (model.folder === undefined) issues.push({ path: 'model.folder', message: 'give the model that is adapted' })
  if (objective === 'kto' && batch / slots < 2)
    issues.push({ path: 'batch', message: `kto compares rows: a slot needs two of them, got ${batch / slots}` })
  if (base !== undefined && method !== 'lora' && method !== 'dora')
    issues.push({
      path: 'adapt.base',
      message: `${base} cannot be trained itself: it is for the methods lora and dora, got ${method}`,
    })
  if (train.length > 0 && method !== 'freeze')
    issues.push({ path: 'adapt.train', message: `is for the method freeze alone, got ${method}` })
  return issues
}
