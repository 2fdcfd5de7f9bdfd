// Where the state file of a run lies: in shared memory where there is enough of it, else in the run's folder. The place
// follows from the run's folder, so that whoever goes on with a run after a crash finds the state that its workers left.
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { HearthError } from '@hearth/torch'

const SHARED_MEMORY = '/dev/shm'
/** A file that says which run's state this is. */
const OWNER = 'run'
/** Of the free shared memory, what a state may take: other programs use it too. */
const SHARE = 0.9

/** The folder of a run's state in shared memory, whether it is there or not. */
function sharedFolder(runFolder: string): string {
  const name = createHash('sha256').update(runFolder).digest('hex').slice(0, 16)
  return join(process.env.HEARTH_STATE ?? SHARED_MEMORY, `hearth-${userInfo().uid}-${name}`)
}

/** Where a state of this run may be. */
export const stateFolders = (runFolder: string): string[] => [sharedFolder(runFolder), join(runFolder, 'state')]

/** The folder that holds the state which workers of this run left, if any. */
export function findStateFolder(runFolder: string): string | undefined {
  return stateFolders(runFolder).find((folder) => existsSync(join(folder, 'state')))
}

/**
 * Makes an empty folder for a state.
 * @param bytes that will be written into it
 * @throws HearthError when somebody else has made it
 */
export function makeStateFolder(runFolder: string, bytes: number): string {
  removeStateFolder(runFolder)
  removeOrphans()
  const shared = sharedFolder(runFolder)
  const root = process.env.HEARTH_STATE ?? SHARED_MEMORY
  const folder = existsSync(root) && hasRoom(root, bytes) ? shared : join(runFolder, 'state')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const { uid, mode } = lstatSync(folder)
  if (process.getuid !== undefined && (uid !== process.getuid() || (mode & 0o077) !== 0))
    throw new HearthError(`${folder} belongs to another user or is open to others`, {
      remedy: 'remove it, or name another folder for the state: HEARTH_STATE=/path',
    })
  writeFileSync(join(folder, OWNER), runFolder)
  return folder
}

/** States whose run was removed take memory that nobody will ask for again. */
function removeOrphans(): void {
  const root = process.env.HEARTH_STATE ?? SHARED_MEMORY
  const own = `hearth-${userInfo().uid}-`
  const folders = existsSync(root) ? readdirSync(root).filter((name) => name.startsWith(own)) : []
  for (const folder of folders.map((name) => join(root, name))) {
    const owner = join(folder, OWNER)
    // One that says nothing of its run may be about to.
    if (existsSync(owner) && !existsSync(readFileSync(owner, 'utf8'))) rmSync(folder, { recursive: true, force: true })
  }
}

/** What is left of a run's state goes; a durable checkpoint has it by then. */
export function removeStateFolder(runFolder: string): void {
  for (const folder of stateFolders(runFolder)) rmSync(folder, { recursive: true, force: true })
}

function hasRoom(folder: string, bytes: number): boolean {
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize * SHARE >= bytes
}
