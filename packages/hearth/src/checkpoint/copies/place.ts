// What a person writes for a place of copies: a folder, or s3://bucket/prefix. Only the words are looked at here; the
// client of S3 is loaded when a place needs it.
import { join, resolve } from 'node:path'
import { CheckpointError } from '@hearth/torch'
import { realStorage } from '../storage.js'
import { folderStore } from './folder-store.js'
import type { CopyStore } from './store.js'
import type { S3Patience } from './s3-store.js'

/** A place, as configurations and command lines name it. */
export interface Place {
  /** A folder, or `s3://bucket/prefix`. */
  to: string
  /** Of S3: the server's address, when it is not that of AWS. */
  endpoint?: string | undefined
  /** Of S3. */
  region?: string | undefined
}

const S3 = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/+(.*?))?\/*$/

/** Whether the words mean object storage; they may still be written wrongly. */
export const isS3 = (words: string): boolean => words.startsWith('s3:')

/**
 * What is wrong with the words for a place.
 * @returns undefined when nothing is
 */
export function placeProblem(words: string): string | undefined {
  if (!isS3(words))
    return /^[a-z][a-z0-9+.-]+:\/\//i.test(words) ? `${words} is neither a folder nor s3://bucket/prefix` : undefined
  const prefix = S3.exec(words)?.[2]
  if (S3.test(words) && !(prefix ?? '').split('/').some((part) => part === '.' || part === '..')) return undefined
  return `${words} is not of the form s3://bucket/prefix (bucket: lower-case letters, digits, dots and dashes)`
}

/** A place inside a place. */
export const insidePlace = (place: Place, name: string): Place => ({
  ...place,
  to: isS3(place.to) ? `${place.to.replace(/\/+$/, '')}/${name}` : join(place.to, name),
})

/**
 * Opens a place; nothing is asked of it yet.
 * @throws CheckpointError when the words mean none
 */
export async function openPlace({ to, endpoint, region }: Place, patience: S3Patience = {}): Promise<CopyStore> {
  const problem = placeProblem(to)
  if (problem !== undefined) throw new CheckpointError(problem)
  if (!isS3(to)) return folderStore(realStorage, resolve(to))
  const [, bucket = '', prefix = ''] = S3.exec(to)!
  const { s3Store } = await import('./s3-store.js')
  return s3Store({ bucket, prefix, ...(endpoint && { endpoint }), ...(region && { region }) }, patience)
}
