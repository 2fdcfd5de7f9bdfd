// Numbers that go wrong: told the loss and the gradient norm of each attempt at a step, the judge says whether it counts.
// What is not finite, or far above the losses before it, is computed once more (a fault of the moment is not one of the
// data), then its batch is left out, and after some in a row the run goes back to a checkpoint and leaves out the whole
// stretch (Chowdhery et al., PaLM, section 5.1). A pure state machine: its state is JSON and part of the run's, so that
// whatever stopped the run, it goes on with the same batches. Not here: computing, saving, going back (judged-steps.ts).
import { HearthError } from '@hearth/torch'
import { z } from 'zod'
import type { Json } from '../checkpoint/index.js'

export interface JudgeOptions {
  /** Losses that a spike is measured against; none is seen before there are as many. */
  window: number
  /** Standard deviations above their mean from which on a loss is a spike; 0 for never. */
  spikeDeviations: number
  /** Batches in a row whose numbers are wrong until the run goes back. */
  rewindAfter: number
  /** Batches that are left out then, from the checkpoint on; at least all up to the trouble. */
  skipBatches: number
  /** Steps without trouble that count as progress after it; trouble sooner after going back blames the checkpoint. */
  calmSteps: number
  /** Steps between the checkpoints that a run goes back to. */
  checkpointEvery: number
}

/** What is known of one attempt at a step. */
export interface Attempted {
  /** Steps done before it. */
  step: number
  /** Mean over the batch, before the update. */
  loss: number
  /** Before clipping. */
  gradientNorm: number
}

export type Verdict =
  | { kind: 'go on' }
  | { kind: 'again'; reason: string }
  | { kind: 'skip'; reason: string }
  /** Back to the state after step `to`; batches from `skipped[0]` on are left out, up to `skipped[1]`, which is next. */
  | { kind: 'rewind'; reason: string; to: number; skipped: [number, number]; bad?: number }
  | { kind: 'give up'; reason: string }

const judgeState = z.strictObject({
  /** Batches that are left out before a step, ascending by the step. */
  skips: z.array(z.strictObject({ at: z.int().min(0), count: z.int().positive() })),
  /** Of the last steps. */
  losses: z.array(z.number()),
  /** Batches left out since the last step that counted. */
  refused: z.int().min(0),
  /** The state that the run last went back to, until it had calm. */
  restored: z.int().min(0).optional(),
  /** The furthest step with trouble, until the run had calm after it, and how often it went back since. */
  troubleAt: z.int().min(0).optional(),
  cycles: z.int().min(0),
})

/** What the judge knows, as it is saved with the weights. */
export type JudgeState = z.output<typeof judgeState>

export const DEFAULT_JUDGE: JudgeOptions = {
  window: 128,
  spikeDeviations: 6,
  rewindAfter: 3,
  skipBatches: 200,
  calmSteps: 100,
  checkpointEvery: 250,
}

/** Attempts at one batch. */
const TRIES = 2
/** Times that a run goes back without progress. */
const CYCLES = 3
/** Of the mean: the deviation counts as no less, because losses of a text that is known by heart hardly differ. */
const LEAST_DEVIATION = 0.05
/** Places where batches were left out that are kept apart; a record of the state file has room for so many. */
const PLACES = 1000

/** A run that goes back again and again without coming further. */
export class TrainingError extends HearthError {}

const fresh = (): JudgeState => ({ skips: [], losses: [], refused: 0, cycles: 0 })

export class Judge {
  readonly #options: JudgeOptions
  #state: JudgeState
  /** Attempts at the batch at hand that did not count. */
  #tries = 0

  /** @param saved what `state` was once; nothing for a new run, or one that was saved before there were judges */
  constructor(options: JudgeOptions = DEFAULT_JUDGE, saved?: Json) {
    this.#options = options
    this.#state = saved === undefined ? fresh() : judgeState.parse(saved)
  }

  get state(): JudgeState {
    return structuredClone(this.#state)
  }

  /** The batch of a step: its number, and those that were left out before it. */
  batchOf(step: number): number {
    return step + sum(this.#state.skips.filter(({ at }) => at <= step).map(({ count }) => count))
  }

  judge({ step, loss, gradientNorm }: Attempted): Verdict {
    const reason = this.#problem(loss, gradientNorm)
    if (reason === undefined) return this.#accept(step, loss)
    if (++this.#tries < TRIES) return { kind: 'again', reason }
    this.#tries = 0
    if (++this.#state.refused >= this.#options.rewindAfter) return this.#rewind(step, reason)
    this.#state.skips = folded(added(this.#state.skips, step, 1))
    return { kind: 'skip', reason }
  }

  /** Takes over the losses of a state that the run went back to; what is left out, and why, stays. */
  restored(saved: Json | undefined): void {
    this.#state.losses = saved === undefined ? [] : judgeState.parse(saved).losses
  }

  #problem(loss: number, gradientNorm: number): string | undefined {
    if (!Number.isFinite(gradientNorm) || !Number.isFinite(loss))
      return `the gradient is not finite (loss ${loss}, norm ${gradientNorm})`
    const { losses } = this.#state
    const { window, spikeDeviations } = this.#options
    if (spikeDeviations === 0 || losses.length < window) return undefined
    const mean = sum(losses) / losses.length
    const deviation = Math.sqrt(sum(losses.map((each) => (each - mean) ** 2)) / losses.length)
    const score = (loss - mean) / Math.max(deviation, LEAST_DEVIATION * Math.abs(mean))
    if (score <= spikeDeviations) return undefined
    return `the loss ${loss.toPrecision(4)} is ${score.toFixed(1)} deviations above the last ${window} (mean ${mean.toPrecision(4)})`
  }

  #accept(step: number, loss: number): Verdict {
    const state = this.#state
    const { window, calmSteps } = this.#options
    this.#tries = 0
    state.refused = 0
    state.losses = [...state.losses, loss].slice(-window)
    if (state.troubleAt !== undefined && step >= state.troubleAt + calmSteps) {
      state.cycles = 0
      delete state.troubleAt
      delete state.restored
    }
    return { kind: 'go on' }
  }

  #rewind(step: number, reason: string): Verdict {
    const state = this.#state
    const { checkpointEvery, skipBatches, calmSteps } = this.#options
    if (state.cycles >= CYCLES)
      return { kind: 'give up', reason: `${reason}, after the run went back ${CYCLES} times without coming further` }
    const soon = state.restored !== undefined && step - state.restored < calmSteps
    const bad = soon && state.restored! > 0 ? state.restored : undefined
    const newest = bad === undefined ? step : bad - 1
    const to = newest - (newest % checkpointEvery)
    const kept = state.skips.filter(({ at }) => at < to)
    const first = to + sum(kept.map(({ count }) => count))
    const next = Math.max(this.batchOf(step) + 1, first + skipBatches)
    state.skips = added(kept, to, next - first)
    state.restored = to
    state.troubleAt = Math.max(step, state.troubleAt ?? 0)
    state.cycles++
    state.refused = 0
    return { kind: 'rewind', reason, to, skipped: [first, next], ...(bad !== undefined && { bad }) }
  }
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

function added(skips: JudgeState['skips'], at: number, count: number): JudgeState['skips'] {
  const last = skips.at(-1)
  return last?.at === at ? [...skips.slice(0, -1), { at, count: last.count + count }] : [...skips, { at, count }]
}

/** The oldest places become one: no checkpoint is as old as they are. */
function folded(skips: JudgeState['skips']): JudgeState['skips'] {
  const [first, second, ...rest] = skips
  if (skips.length <= PLACES) return skips
  return [{ at: second!.at, count: first!.count + second!.count }, ...rest]
}
