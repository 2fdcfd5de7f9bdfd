// What does not work at the moment, said once and calmly.
import type { ServerError } from './server.js'

export function Trouble({ error, waiting }: { error: ServerError | undefined; waiting?: string }) {
  if (error !== undefined)
    return (
      <p role="alert" className="trouble">
        {error.message.split('\n').map((line) => (
          <span key={line}>
            {line}
            <br />
          </span>
        ))}
      </p>
    )
  return waiting === undefined ? null : <p className="hint">{waiting}</p>
}
