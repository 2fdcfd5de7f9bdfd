// Runs: the list, the curves of those that are chosen, and what happened in the first of them.
import { useEffect, useState } from 'react'
import { Button, CheckboxButton, CheckboxField, CheckboxGroup } from 'react-aria-components'
import { COLOURS, Curves, MOST } from './curves.js'
import { EventList } from './event-list.js'
import { clock, percent } from '../numbers.js'
import type { Range, RunDetails, RunRow } from './run-types.js'
import { useServer } from '../server.js'
import { Trouble } from '../trouble.js'
import { WorkersStrip } from './workers-strip.js'

export function RunsPage() {
  const { value, error } = useServer<{ root: string; runs: RunRow[] }>('runs', { seconds: 2 })
  const [picked, setPicked] = useState<string[] | undefined>()
  const [range, setRange] = useState<Range | undefined>()
  const runs = value?.runs ?? []
  const newest = runs[0]?.name
  // The newest when there first is one; what is drawn does not change by itself after that.
  useEffect(() => setPicked((before) => before ?? (newest === undefined ? undefined : [newest])), [newest])
  const there = (picked ?? []).filter((name) => runs.some((run) => run.name === name))
  const gone = (picked ?? []).filter((name) => value !== undefined && !runs.some((run) => run.name === name))
  if (value === undefined) return <Trouble error={error} waiting="Looking for runs …" />
  return (
    <>
      <Trouble error={error} />
      {gone.length > 0 && (
        <p role="alert" className="trouble">
          {gone.join(', ')}: the folder is gone; it is no longer drawn.
        </p>
      )}
      {runs.length === 0 ? (
        <FirstRun root={value.root} />
      ) : (
        <div className="runs">
          <RunList runs={runs} picked={there} onPick={(names) => setPicked(names.slice(-MOST))} />
          <section aria-label="Curves">
            <RangeBar range={range} onRange={setRange} />
            <Curves names={there} runs={runs} range={range} onRange={setRange} />
            {there[0] !== undefined && (
              <Details name={there[0]} step={runs.find(({ name }) => name === there[0])?.step} />
            )}
          </section>
        </div>
      )}
    </>
  )
}

function FirstRun({ root }: { root: string }) {
  return (
    <section className="empty">
      <h2>No runs yet</h2>
      <p>
        Nothing lies in <code>{root}</code>. In a terminal, this trains a first model on real text in at most five
        minutes; it appears here as it goes:
      </p>
      <pre>npx hearth quickstart</pre>
      <p>
        Or with your own text: <code>npx hearth train my-texts/</code>. How large can it be?{' '}
        <a href="#/plan">Plan it</a>.
      </p>
    </section>
  )
}

function RunList({
  runs,
  picked,
  onPick,
}: {
  runs: readonly RunRow[]
  picked: string[]
  onPick: (names: string[]) => void
}) {
  return (
    <CheckboxGroup className="list" value={picked} onChange={onPick} aria-label="Runs to draw">
      {runs.map(({ name, state, step, of, loss, heldOutLoss, updatedAt }) => (
        <CheckboxField key={name} value={name}>
          <CheckboxButton className="run">
            <span
              className="swatch"
              style={{ background: picked.includes(name) ? COLOURS[picked.indexOf(name)] : 'transparent' }}
            />
            <span className="name">{name}</span>
            <span className={`state ${state}`}>{state}</span>
            <span className="facts">
              {of === undefined ? `step ${step}` : `${step.toLocaleString()} of ${of.toLocaleString()} steps`}
              {loss !== undefined && Number.isFinite(loss) && ` · loss ${loss.toFixed(3)}`}
              {heldOutLoss !== undefined && ` · held-out ${heldOutLoss.toFixed(3)}`}
              <br />
              {clock(updatedAt)}
            </span>
          </CheckboxButton>
        </CheckboxField>
      ))}
    </CheckboxGroup>
  )
}

function RangeBar({ range, onRange }: { range: Range | undefined; onRange: (range: Range | undefined) => void }) {
  const moved = (factor: number, shift: number) => {
    if (range === undefined) return
    const [middle, half] = [(range.from + range.to) / 2, (range.to - range.from) / 2]
    const centre = middle + shift * half
    onRange({ from: Math.max(0, centre - half * factor), to: centre + half * factor })
  }
  if (range === undefined) return <p className="hint">Drag over a chart to look closer.</p>
  return (
    <div className="range" role="group" aria-label="Range of steps">
      steps {Math.round(range.from).toLocaleString()} to {Math.round(range.to).toLocaleString()}
      <Button onPress={() => moved(1, -1)}>earlier</Button>
      <Button onPress={() => moved(1, 1)}>later</Button>
      <Button onPress={() => moved(0.5, 0)}>closer</Button>
      <Button onPress={() => moved(2, 0)}>farther</Button>
      <Button onPress={() => onRange(undefined)}>all steps</Button>
    </div>
  )
}

function Details({ name, step }: { name: string; step: number | undefined }) {
  const { value, error } = useServer<RunDetails>(`runs/${encodeURIComponent(name)}`, { seconds: 2 })
  const goodput = value?.events.findLast((event) => event.kind === 'goodput')
  if (value === undefined) return <Trouble error={error} />
  return (
    <section aria-label={`What happened in ${name}`}>
      <h2>{name}</h2>
      {goodput?.kind === 'goodput' && (
        <p>
          goodput <strong>{percent(goodput.goodput)}</strong> up to step {step ?? goodput.step}
        </p>
      )}
      <WorkersStrip events={value.events} isRunning={value.state === 'running'} />
      <EventList events={value.events} />
      <details>
        <summary>Configuration</summary>
        <pre>{JSON.stringify(value.config, undefined, 2)}</pre>
      </details>
    </section>
  )
}
