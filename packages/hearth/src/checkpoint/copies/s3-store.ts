// Copies in object storage that speaks S3: that of AWS, MinIO, Ceph, R2, ... through the client that AWS keeps. It signs,
// tries again what failed on the way, and has the server check a checksum of every part that it receives.
// Credentials come from where that client looks for them (the environment, ~/.aws, the machine's role), never from here.
import { Readable } from 'node:stream'
import { AbortMultipartUploadCommand, DeleteObjectCommand, paginateListObjectsV2, S3Client } from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { openObject, type ObjectPlace } from './s3-object.js'
import { explainS3 } from './s3-errors.js'
import type { CopyStore, FileToStore, StoredFile } from './store.js'

export interface S3Place {
  bucket: string
  /** Keys begin with it; empty for the whole bucket. */
  prefix: string
  /** Address of the server; that of AWS, or of AWS_ENDPOINT_URL_S3, when it is not given. */
  endpoint?: string
  region?: string
}

/** How patient the client is, and how much it asks for at once. */
export interface S3Patience {
  /** Times that one request is tried. @default 4 */
  attempts?: number
  /** Seconds without a byte until an attempt is given up. @default 60 */
  idleSeconds?: number
  /** Objects in one answer to a listing. @default 1000, the most that servers give */
  listed?: number
  /** Bytes of a part of a large object; at least 5 MiB. @default 16 MiB */
  partBytes?: number
}

// The version is pinned, and the one that runs is supported: a warning of what later versions need is for nobody here.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true'

/** Parts are in memory while they are sent: three at a time. */
const PART_BYTES = 16 * 2 ** 20
const PARTS_AT_ONCE = 3
/** The format's own limit. */
const MAX_PARTS = 10_000
const CONNECT_SECONDS = 10

export function s3Store(place: S3Place, patience: S3Patience = {}): CopyStore {
  const { bucket: Bucket, prefix } = place
  const name = `s3://${Bucket}${prefix === '' ? '' : `/${prefix}`}`
  const base = prefix === '' ? '' : `${prefix}/`
  const client = clientOf(place, patience)
  const told = <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      throw explainS3(error, name)
    })
  const at = (key: string) => ({ Bucket, Key: base + key })
  return {
    name,
    list: (wanted) => told(listed(client, { Bucket, Prefix: base + wanted }, base.length, patience)),
    async open(key) {
      const file = await told(openObject(client, at(key)))
      return {
        size: file.size,
        read: (into, position) => told(file.read(into, position)),
        close: () => told(file.close()),
      }
    },
    put: (key, file) => told(store(client, at(key), file, patience)),
    remove: (key) => told(client.send(new DeleteObjectCommand(at(key))).then(() => undefined)),
  }
}

function clientOf({ endpoint, region }: S3Place, { attempts = 4, idleSeconds = 60 }: S3Patience): S3Client {
  const { AWS_REGION, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL } = process.env
  const elsewhere = endpoint ?? AWS_ENDPOINT_URL_S3 ?? AWS_ENDPOINT_URL
  // Servers other than AWS's have one region, whose name hardly any of them looks at.
  const chosen = region ?? AWS_REGION ?? AWS_DEFAULT_REGION ?? (elsewhere === undefined ? undefined : 'us-east-1')
  return new S3Client({
    ...(chosen !== undefined && { region: chosen }),
    ...(elsewhere !== undefined && { endpoint: elsewhere, forcePathStyle: true }),
    maxAttempts: attempts,
    requestHandler: { connectionTimeout: CONNECT_SECONDS * 1000, socketTimeout: idleSeconds * 1000 },
  })
}

async function listed(
  client: S3Client,
  where: { Bucket: string; Prefix: string },
  baseLength: number,
  { listed: pageSize = 1000 }: S3Patience,
): Promise<StoredFile[]> {
  const files: StoredFile[] = []
  for await (const { Contents = [] } of paginateListObjectsV2({ client, pageSize }, where))
    for (const { Key, Size } of Contents) files.push({ key: Key!.slice(baseLength), bytes: Size ?? 0 })
  return files
}

async function store(
  client: S3Client,
  place: ObjectPlace,
  file: FileToStore,
  { partBytes = PART_BYTES }: S3Patience,
): Promise<void> {
  const partSize = Math.max(partBytes, Math.ceil(file.bytes / MAX_PARTS))
  const body = Readable.from(file.blocks(), { objectMode: false, highWaterMark: 1 })
  const params = { ...place, Body: file.bytes === 0 ? new Uint8Array(0) : body }
  const parts = { partSize, queueSize: PARTS_AT_ONCE, leavePartsOnError: true }
  const upload = new Upload({ client, params, ...parts })
  try {
    await upload.done()
  } catch (error) {
    // The first failure is the one to report. Parts that cannot be removed now are left to the bucket's own rules.
    const { uploadId: UploadId } = upload
    if (UploadId !== undefined)
      await client.send(new AbortMultipartUploadCommand({ ...place, UploadId })).catch(() => undefined)
    throw error
  } finally {
    body.destroy()
  }
}
