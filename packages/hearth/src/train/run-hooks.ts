// What happens between the steps of a run, as hooks: measured before it is logged, logged before it is saved. Not here:
// the steps themselves (run.ts).
import type { Tokenizer } from '../data/index.js'
import type { Engine } from './engine.js'
import type { Hook } from './hooks.js'
import type { RunConfig } from './config.js'
import type { RunOptions } from './run.js'
import type { Report } from './run-events.js'
import type { Run } from './run-folder.js'
import type { StepLog } from './machines/leader-log.js'
import type { Step } from './trainer.js'

/** Everything a run works with while it trains. */
export interface Open extends RunOptions {
  run: Run<RunConfig>
  engine: Engine
  log: StepLog
  tokenizer: Tokenizer
  report: Report
}

/** What a step is reported and logged with. */
export type Measure = (step: Step) => { tokensPerSecond: number; modelFlopUtilisation: number; memoryBytes: number }

/** In their order. */
export function hooksOf(open: Open, measure: Measure): Hook[] {
  const { run, engine, log, report, signal } = open
  const { every, evaluateTokens } = run.config
  let heldOutLoss: number | undefined
  const evaluate = async ({ number }: Step) => {
    const heldOut = await engine.evaluate(evaluateTokens, signal)
    if (heldOut === undefined || signal?.aborted) return
    heldOutLoss = heldOut.loss
    report({ kind: 'evaluation', step: number, heldOut })
  }
  const write = (step: Step) => {
    const { number, loss, learningRate, gradientNorm } = step
    const isLast = number === run.config.steps || signal?.aborted
    if (number % every.log !== 0 && heldOutLoss === undefined && !isLast) return
    log.write({
      step: number,
      loss,
      learningRate,
      gradientNorm,
      ...measure(step),
      ...(heldOutLoss !== undefined && { heldOutLoss }),
    })
    heldOutLoss = undefined
  }
  const save = async () => {
    log.sync()
    const refused = await engine.save({ wait: false })
    if (refused) report({ kind: 'warning', message: refused.message })
  }
  return [
    { every: every.evaluate, run: evaluate },
    { every: every.sample, run: (step) => writeSample(open, step) },
    { every: 1, run: write },
    { every: every.checkpoint, run: save },
  ]
}

async function writeSample({ run, engine, tokenizer, sampler, report, signal }: Open, { number }: Step): Promise<void> {
  if (sampler === undefined || signal?.aborted || engine.leads === false) return
  const text = await sampler(engine.model, tokenizer, run.config.samplePrompt, signal)
  if (signal?.aborted) return
  run.saveSample(number, text)
  report({ kind: 'sample', step: number, text })
}
