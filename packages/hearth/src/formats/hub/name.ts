// Names of what lies on a hub: `owner/name` and `owner/name@revision`. They come from people and from files, and become parts
// of addresses and of paths; so only names that the hub itself gives out are names at all.

export type HubKind = 'model' | 'dataset'

export interface HubName {
  kind: HubKind
  /** `owner/name`. */
  repo: string
  /** A branch, a tag or a commit. */
  revision: string
}

const PART = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?$/
const REVISION = /^[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,126}[A-Za-z0-9_-])?$/

/**
 * @returns undefined for a word that is no such name
 * @example
 * parseHubName('EleutherAI/pythia-160m@step3000') // { kind: 'model', repo: 'EleutherAI/pythia-160m', revision: 'step3000' }
 */
export function parseHubName(word: string, kind: HubKind = 'model'): HubName | undefined {
  const [repo = '', revision = 'main', ...others] = word.split('@')
  const parts = repo.split('/')
  // Two dots or dashes in a row are ways out of a folder, or another name's folder in the cache.
  const isSafe = !/\.\.|--/.test(repo) && !/\.\.|\/\/|\/\./.test(revision)
  if (others.length > 0 || parts.length !== 2 || !isSafe) return undefined
  return parts.every((part) => PART.test(part)) && REVISION.test(revision) ? { kind, repo, revision } : undefined
}
