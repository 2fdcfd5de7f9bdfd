// One set-up at a time in one checkout. The lock is a file that holds its owner's pid and start time, so that a lock
// left behind by a killed set-up, even one whose pid now belongs to another process, is recognised and taken over.
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { note } from './progress.mjs'

/** Runs `work` while holding the lock file, waiting for whoever holds it now. The lock is freed whatever happens. */
export async function withLock(file, work) {
  mkdirSync(dirname(file), { recursive: true })
  const own = JSON.stringify({ pid: process.pid, started: startTime(process.pid) })
  let told = false
  while (!take(file, own)) {
    const holder = read(file)
    if (holder === undefined) continue
    if (!isAlive(holder)) {
      clear(file, holder)
      continue
    }
    if (!told) note(`  · waiting for the set-up that process ${parse(holder)?.pid} is doing here …`)
    told = true
    await delay(200)
  }
  const free = () => read(file) === own && rmSync(file, { force: true })
  process.once('exit', free)
  try {
    return await work()
  } finally {
    process.off('exit', free)
    free()
  }
}

// The lock appears with its contents in one step: an empty lock file would look stale to the next one.
function take(file, own) {
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, own)
  try {
    linkSync(draft, file)
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  } finally {
    rmSync(draft, { force: true })
  }
}

// Two processes may both see the same stale lock. The one that comes second would take away the first one's new lock:
// it sees so by the contents, and puts it back.
function clear(file, stale) {
  const aside = `${file}.${process.pid}.stale`
  try {
    renameSync(file, aside)
    if (read(aside) !== stale) linkSync(aside, file)
  } catch (error) {
    if (error.code !== 'ENOENT' && error.code !== 'EEXIST') throw error
  } finally {
    rmSync(aside, { force: true })
  }
}

function isAlive(text) {
  const holder = parse(text)
  if (!Number.isInteger(holder?.pid)) return false
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    if (error.code !== 'EPERM') return false
  }
  return holder.started === startTime(holder.pid)
}

// Field 22 of /proc/<pid>/stat, counted after the program's name in brackets. Elsewhere than on Linux the pid alone decides.
function startTime(pid) {
  const stat = read(`/proc/${pid}/stat`)
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
}

function read(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

function parse(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
