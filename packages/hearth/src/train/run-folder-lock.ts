// Who trains into a run folder: at most one process. Each leaves a file of its own name, and only then looks at those of
// the others, so that two cannot both find the folder free; the file of a process that is gone is removed. A process is
// known by its number and its start, since numbers come back. Not here: what is in the folder (run-folder.ts).
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { HearthError } from '@hearth/torch'

/** What a lock file says. */
export interface LockHolder {
  pid: number
  /** When the process started, in the system's own words. */
  processStart: string
  host: string
  /** Changes when the machine starts anew; empty where the system does not say. */
  boot: string
  /** When the folder was taken. */
  since: string
}

const LOCK = /^training-.*\.lock(\.new)?$/

/** Whether a file of a run folder is only a sign of who trains in it. */
export const isLockFile = (name: string): boolean => LOCK.test(name)

/**
 * Takes a folder for this process.
 * @returns gives the folder up again
 * @throws HearthError when another process, or this one, has it
 */
export function lockFolder(folder: string): () => void {
  const host = hostname()
  const mine: LockHolder = {
    pid: process.pid,
    processStart: startOf(process.pid) ?? '',
    host,
    boot: bootId(),
    since: new Date().toISOString(),
  }
  const path = join(folder, `training-${host.replace(/[^\w.-]/g, '_')}-${process.pid}.lock`)
  const held = findHolder(folder)
  if (held !== undefined) throw refusal(folder, held)
  // By rename, so that nobody reads half of it.
  writeFileSync(`${path}.new`, JSON.stringify(mine) + '\n')
  renameSync(`${path}.new`, path)
  const others = readLocks(folder).filter(({ file }) => file !== path)
  const rival = others.find(isAlive)
  if (rival !== undefined) {
    rmSync(path)
    throw refusal(folder, rival)
  }
  for (const { file } of others) rmSync(file, { force: true })
  return () => rmSync(path, { force: true })
}

interface Lock {
  file: string
  /** Undefined when the file is gone meanwhile, or was torn by a power cut: in both cases its process is gone too. */
  holder: LockHolder | undefined
}

type Held = Lock & { holder: LockHolder }

/** The process that trains into a folder, if any. */
export function findHolder(folder: string): Held | undefined {
  return readLocks(folder).find(isAlive)
}

function readLocks(folder: string): Lock[] {
  const files = readdirSync(folder).filter((name) => isLockFile(name) && name.endsWith('.lock'))
  return files.map((name) => join(folder, name)).map((file) => ({ file, holder: readHolder(file) }))
}

function readHolder(file: string): LockHolder | undefined {
  try {
    const holder = JSON.parse(readFileSync(file, 'utf8')) as Partial<LockHolder> | null
    return typeof holder?.pid === 'number' ? (holder as LockHolder) : undefined
  } catch {
    return undefined
  }
}

// Nothing is known of processes on other machines: they count as alive, and the refusal says what to do.
function isAlive(lock: Lock): lock is Held {
  const { holder } = lock
  if (holder === undefined) return false
  if (holder.host !== hostname()) return true
  return holder.boot === bootId() && startOf(holder.pid) === holder.processStart
}

function refusal(folder: string, { file, holder }: Held): HearthError {
  const here = holder.host === hostname()
  const who =
    here && holder.pid === process.pid ? 'this process' : `process ${holder.pid}${here ? '' : ` on ${holder.host}`}`
  return new HearthError(`${who} has been training in ${folder} since ${holder.since}`, {
    remedy: here
      ? `wait for it, or stop it with: kill ${holder.pid}`
      : `wait for it, or stop it there; if that machine is gone for good: rm ${file}`,
  })
}

/** When a process started; undefined when there is none of that number, or only its remains. */
export function startOf(pid: number): string | undefined {
  if (existsSync('/proc/self/stat')) return startInProc(pid)
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || undefined
  } catch {
    return undefined
  }
}

function startInProc(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is a name in brackets that may hold anything; the state follows it, field 22 is the start.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

function bootId(): string {
  const path = '/proc/sys/kernel/random/boot_id'
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : ''
}
