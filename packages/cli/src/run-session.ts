// One run on a terminal, whether it starts or goes on: progress while it works, signals, and what is said at the end.
import { basename, resolve } from 'node:path'
import { completeText } from 'hearth/generate'
import type { RunOptions, RunResult, Sampler } from 'hearth/train'
import { commandLine, shortPath } from './command-line.js'
import { Guardian } from './guardian.js'
import { onInterrupt } from './interrupt.js'
import { Progress } from './progress.js'
import type { Terminal } from './terminal.js'

/** What a run is given: where it reports to, what stops it, and a voice for its samples. */
export type RunHooks = Required<Pick<RunOptions, 'signal' | 'sampler' | 'report'>>

const SAMPLE_TOKENS = 100

/** The same words of chance each time, so that samples of different steps can be compared. */
const sampler: Sampler = async (model, tokenizer, prompt, signal) => {
  const settings = { maxTokens: SAMPLE_TOKENS, temperature: 0.8, seed: 0, ...(signal && { signal }) }
  const { text } = await completeText(model, tokenizer, prompt, settings)
  return prompt + text
}

/** A run that another process goes on with, should this one be killed. */
export interface Guarded {
  dir: string
  workers: WorkersAsked
  /** Whether ranks share it: what they left says how many. */
  ranks?: boolean
}

/**
 * Runs to the end or to the first signal; sets the exit code of a run that was stopped.
 * @param guarded not given for what is no run of this machine alone, or more than one
 */
export async function watchRun(
  terminal: Terminal,
  run: (hooks: RunHooks) => Promise<RunResult>,
  guarded?: Guarded,
): Promise<RunResult> {
  const progress = new Progress(terminal)
  let guardian: Guardian | undefined
  const guard = () => {
    if (guarded !== undefined) guardian ??= new Guardian(resolve(guarded.dir), argumentsOf(guarded.workers))
  }
  // What is in this process alone counts when it is saved: otherwise the same step could end one process after the other.
  const isShared = guarded?.workers.workers !== undefined || guarded?.ranks === true
  const progressKind = isShared ? 'step' : 'checkpoint'
  let saved: number | undefined
  const interrupt = onInterrupt((text) => progress.note(text), {
    stopping: 'Stopping: the step at hand is finished and saved first.',
    kept: () => (saved === undefined ? 'no step is saved yet' : `step ${saved} is saved`),
  })
  // From here on its end is wanted, also that by a second Ctrl+C.
  interrupt.signal.addEventListener('abort', () => guardian?.release())
  try {
    const result = await run({
      signal: interrupt.signal,
      sampler,
      report: (event) => {
        if (event.kind === 'checkpoint' || event.kind === 'restored') saved = event.step
        if (event.kind === 'phase' && event.phase === 'training' && !interrupt.signal.aborted) guard()
        if (event.kind === progressKind) guardian?.progress()
        progress.report(event)
      },
    })
    if (result.stopped) terminal.exitCode = interrupt.exitCode ?? 0
    return result
  } finally {
    guardian?.release()
    progress.close()
    interrupt.release()
  }
}

const goesOn = (dir: string): string => `It goes on with:\n  ${commandLine('resume', dir)}`

/** What a person reads at the end of a run. */
export function printResult(terminal: Terminal, result: RunResult): void {
  const { step, of, stopped, heldOut, model } = result
  const dir = shortPath(result.dir)
  if (stopped) {
    terminal.print(`Stopped after step ${step} of ${of}; everything is saved. ${goesOn(dir)}`)
    return
  }
  terminal.print(terminal.colors.green(`Done: ${step} steps, in ${dir}.`))
  if (heldOut) {
    const bits = heldOut.bitsPerByte === undefined ? '' : `, ${heldOut.bitsPerByte.toFixed(3)} bits per byte`
    terminal.print(
      `Held-out text: loss ${heldOut.loss.toFixed(3)} nats per token${heldOut.perplexity === undefined ? '' : `, perplexity ${heldOut.perplexity.toFixed(1)}`}${bits}.`,
    )
  }
  if (model !== undefined)
    terminal.print(
      `${basename(model) === 'adapter' ? 'The adapter, as a PEFT folder' : 'The model, as a Hugging Face folder'}: ${shortPath(model)}\nTry it:\n  ${commandLine('generate', dir)}`,
    )
}

/** Workers as `train` and `resume` take them. */
export interface WorkersAsked {
  workers: number | undefined
  minWorkers: number | undefined
  replaceSlow: boolean
}

/** The same as words of a command line. */
const argumentsOf = ({ workers, minWorkers, replaceSlow }: WorkersAsked): string[] => [
  ...(workers === undefined ? [] : ['--workers', String(workers)]),
  ...(minWorkers === undefined ? [] : ['--min-workers', String(minWorkers)]),
  ...(replaceSlow ? ['--replace-slow'] : []),
]

/** What was given of them. */
export const workersOf = ({ workers, minWorkers, replaceSlow }: WorkersAsked): Omit<RunOptions, keyof RunHooks> => ({
  ...(workers !== undefined && { workers }),
  ...(minWorkers !== undefined && { minWorkers }),
  ...(replaceSlow && { replaceSlow }),
})
