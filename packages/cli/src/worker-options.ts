// The options of runs that are carried by worker processes: `hearth train` and `hearth resume` have the same.
export const workerOptions = {
  workers: {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    description: 'worker processes that share each step, under a supervisor that replaces those it loses',
  },
  minWorkers: {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    description: 'workers that are enough to go on, with the same bits, when others cannot be replaced; all by default',
  },
  replaceSlow: {
    kind: 'flag',
    description: 'replace a worker that takes much longer than the others; it is reported anyway',
  },
} as const
