// hearth/checkpoint: durable checkpoints. Saved so that nothing acknowledged is ever lost, verified whole before use.
export { copyCheckpoint, listCopies, type CopiedCheckpoint, type CopyOptions } from './copies/copies.js'
export { fetchNewest, type FetchedCheckpoint, type FetchOptions } from './copies/fetch.js'
export { folderStore } from './copies/folder-store.js'
export { insidePlace, isS3, openPlace, placeProblem, type Place } from './copies/place.js'
export type { S3Patience } from './copies/s3-store.js'
export { copyFile, fileOf, readWhole, type CopyStore, type FileToStore, type StoredFile } from './copies/store.js'
export { listCheckpoints, type CheckpointName } from './folder.js'
export {
  findLatest,
  loadCheckpoint,
  LoadedCheckpoint,
  loadLatest,
  type FindOptions,
  type RefusedCheckpoint,
  type VerifiedCheckpoint,
} from './load.js'
export { sha256, type Json, type Manifest, type ShardRecord } from './manifest.js'
export { prune, type Retention } from './prune.js'
export { saveCheckpoint, saveInParts, type CheckpointState, type PartedState, type SavedCheckpoint } from './save.js'
export { errorCode, realStorage, type ReadableFile, type Storage, type WritableFile } from './storage.js'
export { verifyCheckpoint, type Verification } from './verify.js'
export { withdrawCheckpoints, type Withdrawal } from './withdraw.js'
export { StateFile, type CreateStateFile } from './state-file/state-file.js'
export { type Committed } from './state-file/header.js'
