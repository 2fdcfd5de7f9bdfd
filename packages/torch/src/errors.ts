/**
 * The family of errors that Hearth throws. Each message says what, where, got, expected; `remedy` says what to do.
 * Not here: checks themselves. A programming mistake of our own is an `InvariantError`, never one of these.
 */

/** Options that every Hearth error takes. */
export interface HearthErrorOptions extends ErrorOptions {
  /** What the reader can do about it: a command, a setting, a file to look at. */
  remedy?: string
}

/** Base class: catch this to catch everything that Hearth reports on purpose. */
export class HearthError extends Error {
  readonly remedy: string | undefined

  constructor(message: string, options: HearthErrorOptions = {}) {
    super(options.remedy === undefined ? message : `${message}\n  remedy: ${options.remedy}`, options)
    this.name = new.target.name
    this.remedy = options.remedy
  }
}

/** An operator of libtorch refused its arguments or failed; names the operator, shapes and dtypes. */
export class TorchError extends HearthError {
  /** The operator, as `aten::matmul`, when one was running. */
  readonly operator: string | undefined

  constructor(message: string, operator?: string, options: HearthErrorOptions = {}) {
    super(message, options)
    this.operator = operator
  }
}

/** A tensor, mapping or session was used after it was disposed. */
export class DisposedError extends HearthError {}

/** A file does not follow its format: it is refused as a whole. */
export class FormatError extends HearthError {}

/** The data given for training or scoring cannot be used. */
export class DataError extends HearthError {}

/** A checkpoint is missing, damaged, or belongs to another run. */
export class CheckpointError extends HearthError {}

/** What else a `CommError` knows. */
export interface CommErrorOptions extends HearthErrorOptions {
  operation: string
  peers?: readonly number[]
  seconds: number
}

/** Work in a group of processes failed: a member is gone or late, asks for something else, or the group was aborted. */
export class CommError extends HearthError {
  /** The operation that this process waited in, as `allReduce`. */
  readonly operation: string
  /** Ranks of the members to whom it is due, as far as that is known. */
  readonly peers: readonly number[]
  /** How long this process had waited. */
  readonly seconds: number

  constructor(message: string, { operation, peers = [], seconds, ...options }: CommErrorOptions) {
    super(message, options)
    this.operation = operation
    this.peers = peers
    this.seconds = seconds
  }
}

/** One thing wrong with a configuration. */
export interface ConfigIssue {
  /** Dotted path of the field, as the user writes it after `--set`. */
  path: string
  message: string
}

/** Everything that is wrong with a configuration, at once. */
export class ConfigError extends HearthError {
  readonly issues: readonly ConfigIssue[]

  constructor(where: string, issues: readonly ConfigIssue[], options: HearthErrorOptions = {}) {
    const lines = issues.map((issue) => `  ${issue.path}: ${issue.message}`)
    super([`${where}: ${issues.length} problem${issues.length === 1 ? '' : 's'}`, ...lines].join('\n'), options)
    this.issues = issues
  }
}

/** A promise of our own code was broken: a bug in Hearth, please report it. */
export class InvariantError extends Error {
  override name = 'InvariantError'
}
