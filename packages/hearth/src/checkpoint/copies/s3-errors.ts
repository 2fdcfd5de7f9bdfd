// What an S3 server, the network or the credentials refuse, as one error that says what helps. Two kinds are left to the
// reader of a checkpoint, by the codes that a disk has for them: an object that is not there, and bytes that are not
// those that were stored.
import { CheckpointError } from '@hearth/torch'

interface ServiceError extends Error {
  code?: string
  $metadata?: { httpStatusCode?: number }
}

const CREDENTIALS =
  'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for temporary ones), or AWS_PROFILE for a profile of ~/.aws'
const UNREACHABLE = 'see whether the endpoint is right and can be reached from this machine'
const REGION = "set the copy's region, or AWS_REGION, to that of the bucket"

type Explanation = readonly [what: string, remedy: string]

const BY_NAME: Record<string, Explanation> = {
  NoSuchBucket: ['there is no such bucket', 'make the bucket, or correct its name'],
  InvalidBucketName: ['the name of the bucket is not possible', 'correct it'],
  CredentialsProviderError: ['no credentials were found', CREDENTIALS],
  InvalidAccessKeyId: ['the server does not know the access key', CREDENTIALS],
  SignatureDoesNotMatch: ['the secret key is wrong', CREDENTIALS],
  ExpiredToken: ['the credentials have expired', CREDENTIALS],
  InvalidToken: ['the session token is wrong', CREDENTIALS],
  AccessDenied: [
    'access is denied',
    'allow the key s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on its objects',
  ],
  RequestTimeTooSkewed: ["this machine's clock is wrong", 'set it: timedatectl set-ntp true'],
  PermanentRedirect: ['the bucket is in another region', REGION],
  AuthorizationHeaderMalformed: ['the bucket is in another region', REGION],
  XMinioStorageFull: ['the server has no room left', 'make room there, or keep fewer checkpoints'],
  QuotaExceeded: ['the quota is used up', 'make room there, or keep fewer checkpoints'],
  TimeoutError: ['the server does not answer', UNREACHABLE],
  ETIMEDOUT: ['the server does not answer', UNREACHABLE],
  ENOTFOUND: ['the server is not known', UNREACHABLE],
  EAI_AGAIN: ['the name of the server cannot be looked up', UNREACHABLE],
  ECONNREFUSED: ['the server refuses the connection', UNREACHABLE],
  ECONNRESET: ['the server cut the connection', UNREACHABLE],
  EPIPE: ['the server cut the connection', UNREACHABLE],
}

const LATER = 'nothing to do here: it is tried again later; see the state of the server'

function explanationOf({ name, code, message, $metadata }: ServiceError): Explanation {
  const known = BY_NAME[code ?? ''] ?? BY_NAME[name]
  if (known) return known
  const status = $metadata?.httpStatusCode ?? 0
  if (/region is missing/i.test(message)) return ['no region is given', REGION]
  if (status === 301) return BY_NAME.PermanentRedirect!
  if (status === 403) return BY_NAME.AccessDenied!
  if (status >= 500 || name === 'SlowDown') return [`the server fails (${status})`, LATER]
  return ['the server refused', 'see the cause below']
}

/**
 * The error to throw for one that the client of S3 threw.
 * @param place as a person writes it: `s3://bucket/prefix`
 */
export function explainS3(thrown: unknown, place: string): unknown {
  if (!(thrown instanceof Error) || thrown instanceof CheckpointError) return thrown
  const error = thrown as ServiceError
  if (error.name === 'NoSuchKey' || error.name === 'NotFound') return Object.assign(error, { code: 'ENOENT' })
  // What a local file throws while it is uploaded is not of the server.
  if ('syscall' in error && error.syscall !== 'connect' && error.code !== 'ECONNRESET' && error.code !== 'EPIPE')
    return error
  if (/^checksum mismatch/i.test(error.message)) return Object.assign(error, { code: 'EIO' })
  const [what, remedy] = explanationOf(error)
  return new CheckpointError(`${place} cannot be used: ${what}${said(error)}`, { cause: thrown, remedy })
}

/** The error's own words, where they add to the explanation. */
function said({ name, message }: Error): string {
  if (name === 'TimeoutError') return ''
  return name === 'Error' ? ` (${message})` : ` (${message === '' || message === name ? name : `${name}: ${message}`})`
}
