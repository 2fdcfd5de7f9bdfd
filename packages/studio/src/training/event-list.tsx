// The events of a run, the last first. Whatever a run wrote is shown as text.
import { clock } from '../numbers.js'
import type { RunEvent } from './run-types.js'

const SHOWN = 50

export function EventList({ events }: { events: readonly RunEvent[] }) {
  const told = events.filter(({ kind }) => kind !== 'goodput')
  if (told.length === 0) return <p className="hint">No events: nothing broke.</p>
  return (
    <table className="events">
      <caption>Events, the last first</caption>
      <thead>
        <tr>
          <th scope="col">when</th>
          <th scope="col">what</th>
          <th scope="col">more</th>
        </tr>
      </thead>
      <tbody>
        {told
          .slice(-SHOWN)
          .reverse()
          .map(({ time, kind, ...rest }, index) => (
            <tr key={`${time}${index}`}>
              <td>{clock(time)}</td>
              <td>{kind.replaceAll('-', ' ')}</td>
              <td>{wordsOf(rest)}</td>
            </tr>
          ))}
      </tbody>
    </table>
  )
}

const wordsOf = (rest: object): string =>
  Object.entries(rest)
    .map(
      ([name, value]) =>
        `${name} ${typeof value === 'number' ? Number(value.toPrecision(4)) : typeof value === 'string' ? value : JSON.stringify(value)}`,
    )
    .join(', ')
