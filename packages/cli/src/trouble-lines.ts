// What went wrong in a run while it works, in a line each. Not here: the sum of it afterwards (commands/runs.ts).
import type { RunTrouble } from 'hearth/train'

type Lines = { [Kind in RunTrouble['kind']]?: (event: Extract<RunTrouble, { kind: Kind }>) => string }

const BATCH = { again: 'is taken once more', skip: 'is left out', 'give up': 'ends the run' } as const
const seconds = (value: number) => `${value.toFixed(2)} s`

const LINES: Lines = {
  'worker-lost': ({ worker, reason }) => `worker ${worker} was lost (${reason}); another takes its place`,
  'saver-lost': ({ reason }) => `the process that writes checkpoints was lost (${reason}); another takes its place`,
  'worker-slow': ({ worker, seconds: own, usual }) =>
    `worker ${worker} is slow: its share of a step takes ${seconds(own)}, that of the others ${seconds(usual)}`,
  'worker-resting': ({ worker, reason, seconds }) =>
    `worker ${worker} is lost again and again (${reason}); the others go on, it is tried again in ${seconds} s`,
  recovered: ({ step, lostSeconds }) => `step ${step} was done all the same; that cost ${lostSeconds.toFixed(1)} s`,
  corrupt: ({ step, tensors, healedBy }) =>
    `the state of step ${step} was not what was written (${tensors.join(', ')}); healed by ${healedBy}. Test this machine's memory`,
  refused: ({ step, batch, reason, action }) => `step ${step}: ${reason}; batch ${batch} ${BATCH[action]}`,
  rewound: ({ to, skipped: [first, next], reason, bad }) => {
    const blamed = bad === undefined ? '' : ` (trouble came back soon after step ${bad}: that checkpoint is bad)`
    return `${reason}; the run goes back to step ${to}${blamed} and leaves out batches ${first} to ${next - 1}`
  },
}

/** What a person should know of an event; undefined where that is nothing. */
export const troubleLine = (event: RunTrouble): string | undefined =>
  (LINES[event.kind] as ((event: RunTrouble) => string) | undefined)?.(event)
