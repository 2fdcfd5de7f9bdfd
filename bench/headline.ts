// What a benchmark comes to in a line: a figure of ours, the peer's beside it where there is one, and the goal. They are
// kept in bench/results/*.json, and `npm run bench` ends with one table of all that it measured. Nothing is measured here.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { printTable, short } from './measure.js'

export interface Headline {
  what: string
  unit: string
  hearth: number
  peer?: { name: string; value: number }
  /** As the goal is said, for people. */
  goal?: string
  met?: boolean
}

const GOALS = { yes: 'met', no: 'missed', none: '' }

/** Prints the headlines of every result written since `since` (milliseconds since 1970). */
export function printHeadlines(since: number): void {
  const folder = fileURLToPath(new URL('results/', import.meta.url))
  const results = readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(`${folder}${name}`, 'utf8')) as StoredResult)
    .filter(({ measuredAt }) => Date.parse(measuredAt) >= since)
  const rows = results.flatMap(({ name, headlines = [] }) => headlines.map((line) => [name, ...cells(line)]))
  if (rows.length === 0) return
  console.log('\n== all of it')
  printTable(['bench', 'what', 'Hearth', 'peer', 'Hearth / peer', 'unit', 'goal', ''], rows)
}

interface StoredResult {
  name: string
  measuredAt: string
  headlines?: Headline[]
}

function cells({ what, unit, hearth, peer, goal, met }: Headline): string[] {
  const verdict = met === undefined ? GOALS.none : met ? GOALS.yes : GOALS.no
  const beside = peer === undefined ? ['', ''] : [`${short(peer.value)} (${peer.name})`, short(hearth / peer.value)]
  return [what, short(hearth), ...beside, unit, goal ?? '', verdict]
}
