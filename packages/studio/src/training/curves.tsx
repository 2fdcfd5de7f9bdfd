// The curves of the chosen runs, asked again when one of them has a new step.
import { useEffect, useMemo, useState } from 'react'
import { CurveChart, type Line } from '../curve-chart.js'
import { bytes, count } from '../numbers.js'
import { ask, ServerError } from '../server.js'
import type { Metric, Range, RunCurves, RunRow } from './run-types.js'

/** Of the chosen runs, in their order. */
export const COLOURS = ['#e4572e', '#2f7fd3', '#3a9d5d', '#a35bc4', '#c98a06', '#14919b', '#d6457f', '#7a7a7a']
/** Runs that can be drawn at once. */
export const MOST = COLOURS.length

const CHARTS: readonly { metric: Metric; title: string; format: (value: number) => string }[] = [
  { metric: 'loss', title: 'Loss, nats a token', format: (value) => value.toFixed(2) },
  { metric: 'heldOutLoss', title: 'Held-out loss, nats a token', format: (value) => value.toFixed(2) },
  { metric: 'learningRate', title: 'Learning rate', format: (value) => value.toExponential(1) },
  { metric: 'gradientNorm', title: 'Gradient norm', format: (value) => count(value) },
  { metric: 'tokensPerSecond', title: 'Tokens a second', format: (value) => count(value) },
  { metric: 'memoryBytes', title: 'Memory', format: (value) => bytes(value) },
]

interface CurvesProps {
  names: readonly string[]
  runs: readonly RunRow[]
  range: Range | undefined
  onRange: (range: Range) => void
}

/** Curves of the chosen runs, asked again when one has a new step. */
function useCurves(names: readonly string[], steps: string, range: Range | undefined) {
  const [curves, setCurves] = useState<Record<string, RunCurves>>({})
  const key = names.join('\n')
  useEffect(() => {
    const controller = new AbortController()
    const part = range === undefined ? '' : `&from=${Math.floor(range.from)}&to=${Math.ceil(range.to)}`
    const metrics = CHARTS.map(({ metric }) => metric).join(',')
    const all = names.map(async (name) => {
      const answer = await ask<RunCurves>(
        `runs/${encodeURIComponent(name)}/curves?metrics=${metrics}&buckets=500${part}`,
        undefined,
        controller.signal,
      )
      return [name, answer] as const
    })
    Promise.all(all)
      .then((entries) => setCurves(Object.fromEntries(entries)))
      // The list says what is wrong, and asks again.
      .catch((error: unknown) => {
        if (!controller.signal.aborted && !(error instanceof ServerError)) throw error
      })
    return () => controller.abort()
  }, [key, steps, range])
  return curves
}

export function Curves({ names, runs, range, onRange }: CurvesProps) {
  const steps = runs.map(({ name, step }) => (names.includes(name) ? `${name}:${step}` : '')).join()
  const curves = useCurves(names, steps, range)
  const charts = useMemo(
    () =>
      CHARTS.map((chart) => {
        const lines = names.flatMap((name, index): Line[] => {
          const curve = curves[name]?.curves[chart.metric]
          if (curve === undefined || curve.step.length === 0) return []
          const { step: x, mean: y, least, largest } = curve
          return [{ label: name, colour: COLOURS[index]!, x, y, least, largest }]
        })
        return { ...chart, lines }
      }),
    [curves, names.join('\n')],
  )
  const drawn = charts.filter(({ lines }) => lines.length > 0)
  if (drawn.length === 0)
    return <p className="hint">{names.length === 0 ? 'Choose a run to draw.' : 'Nothing was measured yet.'}</p>
  return (
    <div className="charts">
      {drawn.map(({ metric, title, format, lines }) => (
        <CurveChart
          key={metric}
          title={title}
          lines={lines}
          format={format}
          formatX={count}
          onRange={(from, to) => onRange({ from, to })}
        />
      ))}
    </div>
  )
}
