// The places of a run's copies before it begins: reached, writable, and not taken by another run. Not for runs that go
// on: those must not wait for a place that is down.
import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import { ConfigError, HearthError, type ConfigIssue } from '@hearth/torch'
import { fileOf, openPlace } from '../../checkpoint/index.js'
import type { Place } from '../../checkpoint/index.js'
import type { RunConfig } from '../config.js'
import { createdAt } from './place-copier.js'
import { placesOf } from './run-copies.js'

/** A person waits. */
const PATIENCE = { attempts: 2, idleSeconds: 15 }

/** @throws ConfigError with what is wrong with each place */
export async function checkPlaces(config: RunConfig): Promise<void> {
  const issues = await Promise.all(placesOf(config).map(issueOf))
  const found = issues.filter((issue) => issue !== undefined)
  if (found.length > 0) throw new ConfigError('configuration', found)
}

/** @throws ConfigError when a place is the run's folder itself: what is lost with it is lost with both */
export function checkApart(config: RunConfig, folder: string): void {
  const index = placesOf(config).findIndex(({ to }) => to === resolve(folder))
  if (index < 0) return
  const message = `${config.copies[index]!.to} is where the run itself is kept; name another disk`
  throw new ConfigError('configuration', [{ path: `copies.${index}.to`, message }])
}

async function issueOf(place: Place, index: number): Promise<ConfigIssue | undefined> {
  const path = `copies.${index}.to`
  try {
    const store = await openPlace(place, PATIENCE)
    if ((await createdAt(store)) !== undefined)
      return { path, message: `${place.to} holds a run already; give this one another name` }
    const probe = `.hearth-${randomUUID()}`
    await store.put(probe, fileOf(Buffer.from('Can this place be written?\n')))
    await store.remove(probe)
    return undefined
  } catch (error) {
    if (!(error instanceof HearthError)) throw error
    return { path, message: error.message.replaceAll('\n', '\n    ') }
  }
}
