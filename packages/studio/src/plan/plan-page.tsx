// Plan: sliders for the model, the tokens, the machines and the money; what it takes, and how large it can be.
import { useState } from 'react'
import { useServer, useSettled } from '../server.js'
import { Trouble } from '../trouble.js'
import { Controls } from './controls.js'
import { Reach } from './reach.js'
import { TrainingPlan } from './training-plan.js'
import { FIRST, questionsOf, type Known } from './wanted.js'

export function PlanPage() {
  const { value: known, error } = useServer<Known>('plan')
  const [wanted, setWanted] = useState(FIRST)
  const settled = useSettled(wanted)
  if (known === undefined) return <Trouble error={error} waiting="Reading the catalogue …" />
  const { training, reach, costs } = questionsOf(settled, known)
  return (
    <div className="plan">
      <Controls known={known} wanted={wanted} set={(change) => setWanted((before) => ({ ...before, ...change }))} />
      <TrainingPlan body={training} />
      <Reach body={reach} costs={costs} budget={settled.budget} />
    </div>
  )
}
