// How large it can be: the ceiling over the money, the largest model for each use, and what would lift it.
import { useMemo, useState } from 'react'
import type { Goal } from 'hearth/plan'
import { CurveChart } from '../curve-chart.js'
import { count, duration } from '../numbers.js'
import { useServer } from '../server.js'
import { Trouble } from '../trouble.js'
import { GOALS, type Ceilings } from './wanted.js'

interface ReachProps {
  body: Record<string, unknown>
  /** Whether a price is known. */
  costs: boolean
  budget: number
}

export function Reach({ body, costs, budget }: ReachProps) {
  const [goal, setGoal] = useState<Goal>('train')
  const { value, error } = useServer<Ceilings>('ceilings', { body: { ...body, goal } })
  return (
    <section aria-label="How large it can be" aria-live="polite">
      <h2>How large can it be?</h2>
      <Trouble error={error} {...(value === undefined && { waiting: 'Looking for the ceiling …' })} />
      {!costs && <p className="hint">No price is known for this hardware: give one to see what money reaches.</p>}
      {value !== undefined && error === undefined && (
        <>
          {value.curve.length > 0 && <CeilingCurve curve={value.curve} budget={budget} />}
          <CeilingTable value={value} onGoal={setGoal} />
          <Levers value={value} />
        </>
      )}
    </section>
  )
}

function CeilingTable({ value, onGoal }: { value: Ceilings; onGoal: (goal: Goal) => void }) {
  return (
    <table>
      <caption>The largest model; choose a row to see what would lift it</caption>
      <thead>
        <tr>
          {['to be', 'parameters', 'shape', 'time', 'limit'].map((head) => (
            <th key={head} scope="col">
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {value.ceilings.map(({ goal, largest, limit }) => (
          <tr key={goal} className={goal === value.goal ? 'chosen' : ''}>
            <td>
              <button type="button" className="plain" aria-pressed={goal === value.goal} onClick={() => onGoal(goal)}>
                {GOALS[goal]}
              </button>
            </td>
            <td>{largest === undefined ? 'none fits' : count(largest.parameters)}</td>
            <td>{largest?.shape}</td>
            <td>{largest === undefined || largest.hours === 0 ? '' : duration(largest.hours)}</td>
            <td>{limit}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function Levers({ value: { goal, levers } }: { value: Ceilings }) {
  return (
    <>
      <h3>What would lift it most: {GOALS[goal]}</h3>
      {levers.length === 0 && <p className="hint">Nothing of what was tried.</p>}
      <ol>
        {levers.slice(0, 5).map(({ change, kind, ratio, parameters }) => (
          <li key={change}>
            <strong>× {Number.isFinite(ratio) ? ratio.toFixed(2) : '∞'}</strong> {change} ({kind}; {count(parameters)})
          </li>
        ))}
      </ol>
    </>
  )
}

function CeilingCurve({ curve, budget }: { curve: Ceilings['curve']; budget: number }) {
  const lines = useMemo(() => {
    const reached = curve.filter(({ parameters }) => parameters > 0)
    const [x, y] = [reached.map((point) => point.budget), reached.map((point) => point.parameters)]
    return [{ label: 'parameters', colour: '#e4572e', x, y }]
  }, [curve])
  const near = curve.findLast((point) => point.budget <= budget * 1.001)
  const here = near === undefined || near.parameters === 0 ? '' : ` (${count(near.parameters)} for ${count(budget)})`
  const title = `Largest model trained from scratch, by money${here}`
  return <CurveChart title={title} lines={lines} logarithmic="both" format={count} formatX={count} height={240} />
}
