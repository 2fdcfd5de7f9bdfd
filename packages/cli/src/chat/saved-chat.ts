// A chat in a file: JSON that a person can read and change.
import { replaceFile } from '@hearth/torch'
import type { Turn } from 'hearth/generate'
import { existsSync, readFileSync } from 'node:fs'
import { CommandError } from '../failure.js'
import { readTextFile } from '../input.js'

const FORMAT = 'hearth-chat'

export interface SavedChat {
  system?: string | undefined
  turns: readonly Turn[]
}

/** @throws CommandError for a file that is there and no chat: it is not overwritten */
export function saveChat(path: string, { system, turns }: SavedChat): void {
  if (existsSync(path) && !isChat(readFileSync(path, 'utf8')))
    throw new CommandError(`${path} is there already and is no saved chat`, 'take another name')
  const text = JSON.stringify({ format: FORMAT, version: 1, ...(system !== undefined && { system }), turns }, null, 2)
  replaceFile(path, (write) => write(Buffer.from(`${text}\n`)))
}

/** @throws CommandError when there is no such file, or it is no saved chat */
export function loadChat(path: string): SavedChat {
  const text = readTextFile(path)
  const wrong = new CommandError(
    `${path} is no saved chat`,
    `it should be JSON: {"format": "${FORMAT}", "version": 1, "turns": [{"user": TEXT, "assistant": TEXT}]}`,
  )
  if (!isChat(text)) throw wrong
  const { system, turns } = JSON.parse(text) as { system?: unknown; turns?: unknown }
  if (system !== undefined && typeof system !== 'string') throw wrong
  if (!Array.isArray(turns) || !turns.every(isTurn)) throw wrong
  return { system, turns }
}

function isChat(text: string): boolean {
  try {
    const value = JSON.parse(text) as { format?: unknown; version?: unknown } | null
    return value?.format === FORMAT && value.version === 1
  } catch {
    return false
  }
}

function isTurn(value: unknown): value is Turn {
  const { user, assistant } = (value ?? {}) as Partial<Record<'user' | 'assistant', unknown>>
  return typeof user === 'string' && typeof assistant === 'string'
}
