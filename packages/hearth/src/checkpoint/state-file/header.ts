// The first pages of a state file: what it is, and which bank holds the newest committed step. A commit is one write of
// a small record with its own checksum into the slot that the last commit did not use, so a process that dies at any
// instant leaves one whole record behind. Not here: what the banks hold (state-file.ts).
import { createHash } from 'node:crypto'
import { readSync, writeSync } from 'node:fs'
import { CheckpointError } from '@hearth/torch'
import type { Json } from '../manifest.js'

/** What never changes in a state file. */
export interface Identity {
  /** Names everything that decides the bits of a run: a state of another configuration is refused. */
  config: string
  /** Banks in the file, each of `bankBytes`, the first at FIRST_BANK. */
  banks: number
  bankBytes: number
}

/** One committed state. */
export interface Committed {
  /** Rises by one with every commit. */
  sequence: number
  /** Steps done. */
  step: number
  bank: number
  /** Whatever else must change together with the step. */
  meta: Json
}

const SLOT_BYTES = 1 << 16
const IDENTITY_AT = 0
const SLOTS_AT = [SLOT_BYTES, 2 * SLOT_BYTES] as const
/** Where the first bank begins: a page boundary. */
export const FIRST_BANK = 3 * SLOT_BYTES
const HASH_BYTES = 32
const LENGTH_BYTES = 4
const FORMAT = 'hearth-state'
const VERSION = 1

export function writeIdentity(file: number, identity: Identity): void {
  writeRecord(file, IDENTITY_AT, { format: FORMAT, version: VERSION, ...identity })
}

/** @throws CheckpointError when this is not a state file, or one of another version */
export function readIdentity(file: number, path: string): Identity {
  const record = readRecord(file, IDENTITY_AT) as (Identity & { format: string; version: number }) | undefined
  if (record?.format !== FORMAT)
    throw new CheckpointError(`${path} is not a state file`, { remedy: 'resume from the last checkpoint instead' })
  if (record.version !== VERSION)
    throw new CheckpointError(
      `${path} has version ${record.version} of the state file, this Hearth reads version ${VERSION}`,
      {
        remedy: 'finish the run with the Hearth that started it, or resume from its last checkpoint',
      },
    )
  return { config: record.config, banks: record.banks, bankBytes: record.bankBytes }
}

/** The newest whole record; undefined before the first commit. */
export function readCommitted(file: number): Committed | undefined {
  const records = SLOTS_AT.map((at) => readRecord(file, at) as Committed | undefined).filter((r) => r !== undefined)
  return records.sort((a, b) => b.sequence - a.sequence)[0]
}

/** Makes a state the newest one. Everything it names must be in the file by now. */
export function writeCommitted(file: number, committed: Committed): void {
  writeRecord(file, SLOTS_AT[committed.sequence % 2]!, committed)
}

// Length, SHA-256, JSON.
function writeRecord(file: number, at: number, value: object): void {
  const text = Buffer.from(JSON.stringify(value))
  if (text.length > SLOT_BYTES - LENGTH_BYTES - HASH_BYTES)
    throw new CheckpointError(`a record of the state file has room for ${SLOT_BYTES} bytes, got ${text.length}`)
  const record = Buffer.alloc(LENGTH_BYTES + HASH_BYTES + text.length)
  record.writeUInt32LE(text.length, 0)
  createHash('sha256').update(text).digest().copy(record, LENGTH_BYTES)
  text.copy(record, LENGTH_BYTES + HASH_BYTES)
  writeSync(file, record, 0, record.length, at)
}

function readRecord(file: number, at: number): unknown {
  const slot = Buffer.alloc(SLOT_BYTES)
  const got = readSync(file, slot, 0, SLOT_BYTES, at)
  const length = got < LENGTH_BYTES + HASH_BYTES ? 0 : slot.readUInt32LE(0)
  if (length === 0 || length > got - LENGTH_BYTES - HASH_BYTES) return undefined
  const text = slot.subarray(LENGTH_BYTES + HASH_BYTES, LENGTH_BYTES + HASH_BYTES + length)
  const hash = slot.subarray(LENGTH_BYTES, LENGTH_BYTES + HASH_BYTES)
  if (!createHash('sha256').update(text).digest().equals(hash)) return undefined
  return JSON.parse(text.toString()) as unknown
}
