// What the training takes, and how each figure came about.
import type { Plan } from 'hearth/plan'
import { bytes, count, duration, percent } from '../numbers.js'
import { useServer } from '../server.js'
import { Trouble } from '../trouble.js'

export function TrainingPlan({ body }: { body: Record<string, unknown> }) {
  const { value: plan, error } = useServer<Plan>('plan', { body })
  return (
    <section aria-label="The training" aria-live="polite">
      <Trouble error={error} {...(plan === undefined && { waiting: 'Planning …' })} />
      {plan !== undefined && error === undefined && <Takes plan={plan} />}
    </section>
  )
}

function Takes({ plan }: { plan: Plan }) {
  const { model, devices, hardware, fits, notes } = plan
  return (
    <>
      <h2>
        {model.name} on {devices} × {hardware}
      </h2>
      <p className={fits ? 'good' : 'trouble'}>{fits ? fitWords(plan) : notes[0]}</p>
      <dl className="facts">
        {factsOf(plan).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <HowItCame plan={plan} />
      {notes.slice(fits ? 0 : 1).map((note) => (
        <p key={note} className="hint">
          {note}
        </p>
      ))}
    </>
  )
}

function HowItCame({ plan: { figures, conventions } }: { plan: Plan }) {
  return (
    <details>
      <summary>How each figure came about</summary>
      <ul className="figures">
        {figures.map(({ name, value, unit, how, source }) => (
          <li key={name}>
            <strong>{name}</strong> {count(value)} {unit}
            <br />
            {how}
            {source !== '' && <small> [{source}]</small>}
          </li>
        ))}
      </ul>
      {conventions.map((line) => (
        <p key={line} className="hint">
          {line}
        </p>
      ))}
    </details>
  )
}

function fitWords({ chosen: { layout, memory, accumulation } }: Plan): string {
  const { sharding, checkpointing, offload, microBatch } = layout
  const activations = checkpointing ? 'recomputed' : 'kept'
  const state = offload ? ', optimizer state in the machine’s memory' : ''
  return `It fits: sharding ${sharding}, activations ${activations}${state}, ${microBatch} samples at once × ${accumulation}, ${bytes(memory.total)} a device.`
}

const factsOf = (plan: Plan): [string, string][] => [
  ['parameters', `${plan.model.parameters.toLocaleString()} in ${plan.model.tensors} tensors`],
  ['time', duration(plan.hours)],
  ['money', plan.money === undefined ? 'no price is known' : count(plan.money)],
  ['energy', `${count(plan.energy)} kWh`],
  ['speed', `${count(plan.tokensPerSecond)} tokens/s, ${percent(plan.utilisation)} of the peak`],
  ['goodput', `${percent(plan.goodput)}, ${plan.expectedFailures.toFixed(1)} breakdowns expected`],
  ['checkpoint', `every ${duration(plan.interval / 3600)}`],
]
