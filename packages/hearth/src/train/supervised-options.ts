// What a run by supervised workers is opened with (supervised-session.ts).
import type { DType } from '@hearth/torch'
import type { SupervisorOptions } from '../cluster/index.js'
import type { RunConfig } from './config.js'
import type { CrewUnderDrill } from './drill/crew-under-drill.js'
import type { Poison } from './drill/poison.js'
import type { Report } from './run-events.js'
import type { Run } from './run-folder.js'
import type { TextData } from './text-data.js'

export interface SupervisedOptions {
  run: Run<RunConfig>
  data: TextData
  dtype: DType
  report: Report
  workers: number
  /** Workers that are enough for the run to go on. @default workers */
  minWorkers?: number
  /** Whether a worker that is slow beside the others is replaced. */
  replaceSlow?: boolean
  /** Batches whose numbers go wrong: for drills. */
  poison?: Poison
  /** Given the workers as they start: drills have faults happen to them. */
  onCrew?: (crew: CrewUnderDrill) => void
  /** Of the supervisor: drills lose more workers, sooner. */
  patience?: Pick<SupervisorOptions, 'deadlines' | 'maxFalls' | 'restSeconds'>
}
