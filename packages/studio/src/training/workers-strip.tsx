// Workers over time: a bar from the start of each to its loss, so that a fault and its healing are seen as they happen.
import type { RunEvent } from './run-types.js'

interface Life {
  worker: number
  from: number
  to: number | undefined
  reason: string | undefined
}

function livesOf(events: readonly RunEvent[]): Life[] {
  const lives: Life[] = []
  for (const event of events) {
    const at = Date.parse(event.time)
    if (event.kind === 'worker-started')
      lives.push({ worker: event.worker, from: at, to: undefined, reason: undefined })
    if (event.kind !== 'worker-lost') continue
    const life = lives.findLast(({ worker, to }) => worker === event.worker && to === undefined)
    if (life === undefined) continue
    life.to = at
    life.reason = event.reason
  }
  return lives
}

const ROW = 22

export function WorkersStrip({ events, isRunning }: { events: readonly RunEvent[]; isRunning: boolean }) {
  const lives = livesOf(events)
  if (lives.length === 0) return null
  const workers = [...new Set(lives.map(({ worker }) => worker))].sort((a, b) => a - b)
  const start = Math.min(...lives.map(({ from }) => from))
  const end = isRunning ? Date.now() : Math.max(...events.map(({ time }) => Date.parse(time)))
  const x = (time: number) => `${(100 * (time - start)) / Math.max(1, end - start)}%`
  const lost = lives.filter(({ to }) => to !== undefined).length
  return (
    <figure className="strip">
      <figcaption>
        {workers.length} {workers.length === 1 ? 'worker' : 'workers'} over time, {lost} lost and replaced
      </figcaption>
      <svg width="100%" height={workers.length * ROW} role="img" aria-label={`${workers.length} workers, ${lost} lost`}>
        {lives.map(({ worker, from, to, reason }) => (
          <g key={`${worker}-${from}`}>
            <rect
              x={x(from)}
              y={workers.indexOf(worker) * ROW + 3}
              width={`${(100 * ((to ?? end) - from)) / Math.max(1, end - start)}%`}
              height={ROW - 6}
              className="alive"
            >
              <title>{`worker ${worker}${reason === undefined ? '' : `: ${reason}`}`}</title>
            </rect>
            {to !== undefined && (
              <circle cx={x(to)} cy={workers.indexOf(worker) * ROW + ROW / 2} r={4} className="lost" />
            )}
          </g>
        ))}
      </svg>
    </figure>
  )
}
