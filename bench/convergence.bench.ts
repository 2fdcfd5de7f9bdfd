// Whether the kernels learn what their reference forms learn: the quickstart's recipe trained twice with the same seed,
// once with our kernels and once with HEARTH_KERNELS=reference, and the final held-out losses side by side.
// Goal: within 0.2 %. Each run is a process of its own: which form is used is decided once a process.
//   npm run bench -- convergence [--steps 558]
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { quickstart } from '@hearth/recipes'
import { numThreads } from '@hearth/torch'
import { printTable, writeResult } from './measure.js'

const GOAL = 0.002

const { values } = parseArgs({ options: { steps: { type: 'string', default: '558' } } })
const command = fileURLToPath(new URL('../packages/cli/dist/main.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'hearth-convergence-'))

interface Curve {
  seconds: number
  /** Held-out loss by step. */
  heldOut: { step: number; loss: number }[]
}

function train(name: string, env: NodeJS.ProcessEnv): Curve {
  const started = performance.now()
  const every = Math.ceil(Number(values.steps) / 4)
  const recipe = join(folder, `${name}.json`)
  writeFileSync(
    recipe,
    JSON.stringify({ ...quickstart(), name, steps: Number(values.steps), every: { log: 10, evaluate: every } }),
  )
  const { status } = spawnSync(process.execPath, [command, 'train', recipe, '--runs', folder, '--json'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, ...env },
  })
  if (status !== 0) throw new Error(`the run '${name}' ended with exit code ${status}`)
  const lines = readFileSync(join(folder, name, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
  const heldOut = lines
    .map((line) => JSON.parse(line) as { step: number; heldOutLoss?: number })
    .flatMap(({ step, heldOutLoss }) => (heldOutLoss === undefined ? [] : [{ step, loss: heldOutLoss }]))
  return { seconds: (performance.now() - started) / 1000, heldOut }
}

try {
  const kernels = train('kernels', { HEARTH_KERNELS: '' })
  const reference = train('reference', { HEARTH_KERNELS: 'reference' })
  const rows = kernels.heldOut.map(({ step, loss }, i) => {
    const other = reference.heldOut[i]!.loss
    return { step, kernels: loss, reference: other, difference: loss / other - 1 }
  })
  printTable(
    ['held-out loss at step', 'kernels', 'reference', 'difference'],
    rows.map((row) => [
      String(row.step),
      row.kernels.toFixed(5),
      row.reference.toFixed(5),
      `${(100 * row.difference).toFixed(3)} %`,
    ]),
  )
  console.log(`${kernels.seconds.toFixed(0)} s with kernels, ${reference.seconds.toFixed(0)} s without`)
  const last = rows.at(-1)!
  writeResult('convergence', { steps: Number(values.steps), threads: numThreads(), rows, kernels, reference }, [
    {
      what: `spark, ${values.steps} steps of the quickstart: held-out loss`,
      unit: 'nats a token',
      hearth: last.kernels,
      peer: { name: 'reference forms', value: last.reference },
      goal: `within ${100 * GOAL} %`,
      met: Math.abs(last.difference) <= GOAL,
    },
  ])
} finally {
  rmSync(folder, { recursive: true, force: true })
}
