// One chart of several curves, by uPlot: means as lines, and for a single run the range of each bucket as a band. Dragging
// over it chooses a range. What is drawn is said in words too, for those who do not see it.
import { useEffect, useRef, useState } from 'react'
import UPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'

export interface Line {
  label: string
  colour: string
  x: readonly number[]
  y: readonly (number | null)[]
  least?: readonly (number | null)[]
  largest?: readonly (number | null)[]
}

interface ChartProps {
  title: string
  lines: readonly Line[]
  logarithmic?: 'y' | 'both'
  format: (value: number) => string
  formatX?: (value: number) => string
  /** Called with the range that was dragged over. */
  onRange?: (from: number, to: number) => void
  height?: number
}

/** Told when the colours of the page have changed: what is drawn has them in it. */
export const THEME_CHANGE = 'themechange'

function useThemeChanges(): number {
  const [changes, setChanges] = useState(0)
  useEffect(() => {
    const changed = () => setChanges((before) => before + 1)
    addEventListener(THEME_CHANGE, changed)
    return () => removeEventListener(THEME_CHANGE, changed)
  }, [])
  return changes
}

const colourOf = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

export function CurveChart({ title, lines, logarithmic, format, formatX, onRange, height = 220 }: ChartProps) {
  const place = useRef<HTMLDivElement>(null)
  const range = useRef(onRange)
  range.current = onRange
  const theme = useThemeChanges()
  useEffect(() => {
    const element = place.current
    if (element === null || lines.length === 0) return
    const chart = new UPlot(
      optionsOf(element.clientWidth, { height, lines, logarithmic, format, formatX }, range),
      dataOf(lines),
      element,
    )
    const observer = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height }))
    observer.observe(element)
    return () => {
      observer.disconnect()
      chart.destroy()
    }
  }, [lines, logarithmic, format, formatX, height, theme])
  const spoken = lines
    .map((line) => `${line.label}: ${format(line.y.findLast((value) => value !== null) ?? NaN)} at the end`)
    .join('; ')
  return (
    <figure className="chart">
      <figcaption>{title}</figcaption>
      <div ref={place} role="img" aria-label={`${title}. ${spoken}`} />
    </figure>
  )
}

const isSingle = (lines: readonly Line[]) => lines.length === 1 && lines[0]!.least !== undefined

function dataOf(lines: readonly Line[]): UPlot.AlignedData {
  const tables = lines.map(
    ({ x, y, least, largest }) => (isSingle(lines) ? [x, y, least!, largest!] : [x, y]) as unknown as UPlot.AlignedData,
  )
  return tables.length === 1 ? tables[0]! : UPlot.join(tables)
}

type Drawn = Pick<ChartProps, 'lines' | 'logarithmic' | 'format' | 'formatX'> & { height: number }

function optionsOf(width: number, drawn: Drawn, range: { current: ChartProps['onRange'] }): UPlot.Options {
  const { height, lines, logarithmic } = drawn
  // uPlot's own numbers: 1 is linear, 3 logarithmic.
  const scale = (isLogarithmic: boolean) => ({ distr: isLogarithmic ? 3 : 1 }) as unknown as UPlot.Scale
  return {
    width,
    height,
    legend: { show: false },
    cursor: { drag: { x: range.current !== undefined, y: false, setScale: false } },
    scales: { x: { time: false, ...scale(logarithmic === 'both') }, y: scale(logarithmic !== undefined) },
    axes: axesOf(drawn),
    ...seriesOf(lines),
    hooks: {
      setSelect: [
        (chart) => {
          const { left, width: wide } = chart.select
          if (wide > 4) range.current?.(chart.posToVal(left, 'x'), chart.posToVal(left + wide, 'x'))
        },
      ],
    },
  }
}

function axesOf({ format, formatX = format }: Drawn): UPlot.Axis[] {
  const [ink, grid] = [colourOf('--muted'), colourOf('--line')]
  const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 } }
  // Between the powers of ten there are lines without numbers.
  const words = (say: (value: number) => string) => (_: UPlot, ticks: readonly (number | null)[]) =>
    ticks.map((tick) => (tick === null ? '' : say(tick)))
  return [
    { ...axis, size: 30, values: words(formatX) },
    { ...axis, size: 64, values: words(format) },
  ]
}

function seriesOf(lines: readonly Line[]): Pick<UPlot.Options, 'series' | 'bands'> {
  const points = { show: lines[0]!.x.length < 40 }
  const main = lines.map(({ label, colour }) => ({ label, stroke: colour, width: 2, spanGaps: true, points }))
  if (!isSingle(lines)) return { series: [{}, ...main] }
  const edge = { stroke: 'transparent', points: { show: false }, label: 'range' }
  return { series: [{}, ...main, edge, edge], bands: [{ series: [3, 2], fill: `${lines[0]!.colour}33` }] }
}
