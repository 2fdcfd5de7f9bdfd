// What the server says of runs. The shapes are those of hearth/train and hearth/studio.
import type { Curve, Metric } from 'hearth/studio'
import type { RunSummary, RunTrouble } from 'hearth/train'

export type { Curve, Metric }
export type RunRow = Omit<RunSummary, 'folder'>
export type RunEvent = RunTrouble & { time: string; host?: string }
export interface RunDetails extends RunRow {
  config?: Record<string, unknown>
  events: RunEvent[]
}
export interface RunCurves {
  lastStep: number
  curves: Partial<Record<Metric, Curve>>
}

/** Of steps. */
export interface Range {
  from: number
  to: number
}
