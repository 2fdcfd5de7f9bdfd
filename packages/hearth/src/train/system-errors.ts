// What the system refuses (a full disk, a folder without permission, ...) becomes an error that says what helps.
import { HearthError } from '@hearth/torch'

export interface Explanation {
  /** What was being done; before the message where it is given. */
  what?: string
  remedy: string
}

/** The error itself; with the explanation when it comes from the system and names no remedy of its own. */
export function explained(error: unknown, { what, remedy }: Explanation): unknown {
  if (!(error instanceof Error) || (error instanceof HearthError && error.remedy !== undefined)) return error
  if (!isOfSystem(error) && !isOfSystem(error.cause)) return error
  return new HearthError(what === undefined ? error.message : `${what}: ${error.message}`, { cause: error, remedy })
}

const isOfSystem = (error: unknown): boolean => error instanceof Error && 'syscall' in error
