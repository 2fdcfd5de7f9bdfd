// Removes old checkpoints after one was saved. That they cannot be removed costs room, nothing else: it is told, and is no
// reason to end a run. Not here: which are kept (hearth/checkpoint).
import { prune, realStorage, type Retention } from '../checkpoint/index.js'

/** @returns what is to be told, if anything */
export async function pruned(folder: string, retention: Retention): Promise<{ problem?: string }> {
  try {
    await prune(realStorage, folder, retention)
    return {}
  } catch (error) {
    return { problem: `old checkpoints cannot be removed: ${(error as Error).message}` }
  }
}
