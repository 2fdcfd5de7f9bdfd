// The disturbed run of a drill, in a process of its own that is started again when it is killed: what happens there is told
// here. Not here: how faults happen (happenings.ts).
import { fork } from 'node:child_process'
import { join } from 'node:path'
import { HearthError } from '@hearth/torch'
import { programs } from '../saver.js'
import type { Charge, FromCarrier } from './carrier-process.js'
import type { DrillRecord } from './record.js'

export interface CarryOptions extends Omit<Charge, 'resume'> {
  record: DrillRecord
  /** Told after every fault. */
  onHad: () => void
  signal: AbortSignal | undefined
}

/** The step that the run came to, once all faults were had. */
export async function carry({ record, onHad, signal, ...charge }: CarryOptions): Promise<number> {
  let left = charge.faults
  const hear = (message: FromCarrier) => {
    if (message.kind === 'event') record.hear(message.event)
    if (message.kind !== 'had') return
    const { fault, places } = message
    left = left.filter(({ afterStep }) => afterStep !== fault.afterStep)
    record.happened(fault.kind, places)
    onHad()
  }
  for (let resume = false; ; resume = true) {
    const end = await oneLife({ ...charge, faults: left, resume }, hear, signal)
    if (end.kind === 'over') return end.step
    if (end.kind === 'failed') throw new HearthError(end.reason)
    record.supervisorLost()
  }
}

type End = Extract<FromCarrier, { kind: 'over' | 'failed' }> | { kind: 'killed' }

function oneLife(charge: Charge, hear: (message: FromCarrier) => void, signal: AbortSignal | undefined): Promise<End> {
  const child = fork(join(programs, 'drill/carrier-process.js'), { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
  const stop = () => child.kill('SIGKILL')
  signal?.addEventListener('abort', stop, { once: true })
  let [words, wasStruck]: [string, boolean] = ['', false]
  let end: End | undefined
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (words = (words + text).slice(-2000)))
  child.on('message', (message: FromCarrier) => {
    if (message.kind === 'over' || message.kind === 'failed') end = message
    if (message.kind === 'had') wasStruck ||= message.fault.kind === 'supervisor'
    hear(message)
  })
  child.send(charge)
  return new Promise((resolve) => {
    child.on('close', (code, killedBy) => {
      signal?.removeEventListener('abort', stop)
      const isFault = wasStruck && killedBy === 'SIGKILL' && !signal?.aborted
      const reason = signal?.aborted ? 'the drill was stopped' : `the supervisor ended (${killedBy ?? code}): ${words}`
      resolve(end ?? (isFault ? { kind: 'killed' } : { kind: 'failed', reason }))
    })
  })
}
