// The loop of steps around a judge: an attempt is computed, judged, and only then becomes part of the run; or its batch
// is taken once more, left out, or the run goes back. The same for training in this process and by workers, so that both
// have the same bits. Not here: the judgement (judge.ts), and how a step is computed or taken back.
import { TrainingError, type Judge, type Verdict } from './judge.js'
import type { Step } from './trainer.js'

/** A gradient that was computed, and is not part of the run yet. */
export interface Attempt {
  /** Mean over the global batch. */
  loss: number
  learningRate: number
  /** Before clipping. */
  gradientNorm: number
  /** Tokens (or pictures). */
  size: number
  /** Makes it part of the run: the next step follows. */
  commit(): Promise<void> | void
  /** Gives up what it holds. */
  drop(): void
}

/** An attempt that did not count. */
export interface Refusal {
  /** The step that it was to be: the first is 1. */
  step: number
  batch: number
  verdict: Exclude<Verdict, { kind: 'go on' }>
}

export type RewindVerdict = Extract<Verdict, { kind: 'rewind' }>

export interface JudgedSteps {
  readonly judge: Judge
  /** Steps done so far. */
  readonly step: number
  /** Sees to it that the state is sound, before a step reads it. */
  prepare(): Promise<void> | void
  attempt(step: number, batch: number): Promise<Attempt>
  onRefusal(refusal: Refusal): void
  /** The judge's state changed without a step. */
  keepJudgement(): void
  rewind(verdict: RewindVerdict): Promise<void>
}

/** Does steps until `last` of them are done; stop by leaving the loop, always between two steps. */
export async function* judgedSteps(run: JudgedSteps, last: number): AsyncGenerator<Step, void, void> {
  while (run.step < last) yield await nextStep(run)
}

async function nextStep(run: JudgedSteps): Promise<Step> {
  const started = performance.now()
  const { judge } = run
  for (;;) {
    await run.prepare()
    const { step } = run
    const batch = judge.batchOf(step)
    const attempt = await run.attempt(step, batch)
    const { loss, learningRate, gradientNorm, size } = attempt
    const verdict = judge.judge({ step, loss, gradientNorm })
    if (verdict.kind === 'go on') {
      await attempt.commit()
      const seconds = (performance.now() - started) / 1000
      return { number: step + 1, batch, loss, learningRate, gradientNorm, size, seconds }
    }
    attempt.drop()
    run.onRefusal({ step: step + 1, batch, verdict })
    if (verdict.kind === 'give up') throw gaveUp(step + 1, verdict.reason)
    if (verdict.kind === 'skip') run.keepJudgement()
    if (verdict.kind === 'rewind') await run.rewind(verdict)
  }
}

const gaveUp = (step: number, reason: string) =>
  new TrainingError(`training cannot go on at step ${step}: ${reason}`, {
    remedy:
      'the weights diverge, or the data is damaged: start a new run with a lower learning rate or a longer warm-up; ' +
      'if only the level of the loss has changed, hearth resume RUN --set guard.spikeDeviations=0',
  })
