// A run is a folder: its resolved configuration, what it measured, samples, checkpoints. This file makes, opens and
// lists such folders. Not here: the training (trainer.ts), and what is inside a checkpoint (hearth/checkpoint).
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { FormatError, HearthError, replaceFile, torchVersion } from '@hearth/torch'
import type { Json } from '../checkpoint/index.js'
import type { RunChange } from './changes.js'
import { isLockFile, lockFolder } from './run-folder-lock.js'
import { explained } from './system-errors.js'
import { RunLog } from './run-folder-log.js'
import type { RunLogOptions } from './run-folder-log.js'

/** What config.json holds. */
export interface RunRecord<Config> {
  format: typeof FORMAT
  version: 1
  createdAt: string
  /** Of everything that decides the bits. */
  versions: { hearth: string; libtorch: string; node: string; platform: string }
  /** With every default filled in. */
  config: Config
  /** What was changed on the way, in its order. */
  changes?: readonly RunChange[]
  /** Names the tokens that were trained on; not there before they are made. */
  data?: string
}

/** What status.json holds; a process that is killed leaves `running` behind. */
export interface RunStatus {
  state: 'running' | 'stopped' | 'finished'
  /** Since when. */
  since: string
}

const FORMAT = 'hearth-run'
const CONFIG_FILE = 'config.json'
const STATUS_FILE = 'status.json'
const RESTORE = 'put the file back from a backup, or start a new run'

/** Where things are in a run's folder. */
export const runPaths = (folder: string) => ({
  config: join(folder, CONFIG_FILE),
  status: join(folder, STATUS_FILE),
  metrics: join(folder, 'metrics.jsonl'),
  tensorboard: join(folder, 'tensorboard'),
  samples: join(folder, 'samples'),
  events: join(folder, 'events.jsonl'),
  checkpoints: join(folder, 'checkpoints'),
  tokenizer: join(folder, 'tokenizer'),
  model: join(folder, 'model'),
  adapter: join(folder, 'adapter'),
})

/**
 * A run that this process trains: nobody else can until it is closed, or this process ends.
 * @example
 * using run = createRun('runs/spark', { config })
 */
export class Run<Config = Json> {
  /** Absolute. */
  readonly folder: string
  readonly paths: ReturnType<typeof runPaths>
  readonly #unlock: () => void
  #record: RunRecord<Config>
  #open = true

  /** @internal Use createRun() or openRun(). */
  constructor(folder: string, record: RunRecord<Config>, unlock: () => void) {
    this.folder = folder
    this.#record = record
    this.paths = runPaths(folder)
    this.#unlock = unlock
    this.#setState('running')
  }

  get record(): RunRecord<Config> {
    return this.#record
  }

  get config(): Config {
    return this.#record.config
  }

  /**
   * Writes a changed record down, in place of the one before or not at all.
   * @throws HearthError when the disk refuses
   */
  change(changed: Partial<Pick<RunRecord<Config>, 'config' | 'changes' | 'data'>>): void {
    const record = { ...this.#record, ...changed }
    told(`the configuration of the run ${this.folder} cannot be changed`, () => writeJson(this.paths.config, record))
    this.#record = record
  }

  /** Opens the logs. Close them before the run. */
  log(options: RunLogOptions): RunLog {
    return new RunLog(this.paths, options)
  }

  /** Keeps a text that the model wrote; returns its file, `samples/step-00000420.txt`. */
  saveSample(step: number, text: string): string {
    const path = join(this.paths.samples, `step-${String(step).padStart(8, '0')}.txt`)
    mkdirSync(this.paths.samples, { recursive: true })
    replaceFile(path, (write) => write(Buffer.from(text)))
    return path
  }

  /** Gives the run up, for this process or another to resume. A second call does nothing. */
  close(state: 'stopped' | 'finished' = 'stopped'): void {
    if (!this.#open) return
    this.#open = false
    try {
      this.#setState(state)
    } finally {
      this.#unlock()
    }
  }

  /** As close(), while an error may be on its way: a status that cannot be written must not take its place. */
  [Symbol.dispose](): void {
    try {
      this.close()
    } catch (error) {
      // The folder is free all the same, and a run that nobody holds counts as stopped.
      if (!(error instanceof HearthError)) throw error
    }
  }

  #setState(state: RunStatus['state']): void {
    const status: RunStatus = { state, since: new Date().toISOString() }
    writeJson(this.paths.status, status)
  }
}

/**
 * Makes the folder of a new run, and those above it, and takes it for this process.
 * @throws HearthError when the folder exists and is not empty, when another process is using it, or the disk refuses
 */
export function createRun<Config>(dir: string, { config }: { config: Config }): Run<Config> {
  const folder = resolve(dir)
  return told(`the run folder ${folder} cannot be made`, () => {
    makeDurableFolder(folder)
    refuseUsed(folder)
    const path = join(folder, CONFIG_FILE)
    const make = () => {
      // Once more: another process may have made its run, and finished, before the folder was ours.
      refuseUsed(folder)
      const createdAt = new Date().toISOString()
      const record: RunRecord<Config> = { format: FORMAT, version: 1, createdAt, versions: versions(), config }
      writeJson(path, record)
      return record
    }
    return locked(folder, make, () => rmSync(path))
  })
}

/**
 * Takes an existing run for this process, to go on with it.
 * @throws HearthError when there is no run in the folder, or another process is using it
 * @throws FormatError when its config.json is damaged
 */
export function openRun<Config = Json>(dir: string): Run<Config> {
  const folder = resolve(dir)
  readRun(folder)
  return told(`the run ${folder} cannot be opened`, () => locked(folder, () => readRun<Config>(folder)))
}

/**
 * Opens a run for one of several machines: whoever started them has taken the folder.
 * @throws HearthError when there is no run in the folder
 */
export function openSharedRun<Config>(dir: string): Run<Config> {
  const folder = resolve(dir)
  return new Run(folder, readRun<Config>(folder), () => undefined)
}

/**
 * Reads what a run was started with; changes nothing, takes nothing.
 * @throws HearthError when there is no run in the folder
 * @throws FormatError when its config.json is damaged
 */
export function readRun<Config = Json>(dir: string): RunRecord<Config> {
  const path = join(resolve(dir), CONFIG_FILE)
  if (!existsSync(path))
    throw new HearthError(`${resolve(dir)} is not a run: it has no ${CONFIG_FILE}`, {
      remedy: 'see which runs there are: hearth runs',
    })
  const record = readJson(path) as Partial<RunRecord<Config>> | null
  const isWhole = [record?.config, record?.versions].every((part) => typeof part === 'object' && part !== null)
  if (record?.format !== FORMAT || !isWhole || typeof record.createdAt !== 'string')
    throw new FormatError(`${path} is not the configuration of a run`, { remedy: RESTORE })
  return record as RunRecord<Config>
}

/** The state that a run was last known in; undefined when that was never written. */
export function readStatus(folder: string): RunStatus | undefined {
  const { status } = runPaths(folder)
  return existsSync(status) ? (readJson(status) as RunStatus) : undefined
}

/** @param undo takes back what `record` wrote, when the run cannot be opened after all */
function locked<Config>(
  folder: string,
  record: () => RunRecord<Config>,
  undo: () => void = () => undefined,
): Run<Config> {
  const unlock = lockFolder(folder)
  let read: RunRecord<Config> | undefined
  try {
    read = record()
    return new Run(folder, read, unlock)
  } catch (error) {
    if (read !== undefined) undo()
    unlock()
    throw error
  }
}

function refuseUsed(folder: string): void {
  const names = readdirSync(folder).filter((name) => !isLockFile(name))
  if (names.length === 0) return
  const isRun = names.includes(CONFIG_FILE)
  throw new HearthError(`the folder ${folder} ${isRun ? 'holds a run already' : 'exists and is not empty'}`, {
    remedy: `${isRun ? `go on with that run: hearth resume ${folder}; or ` : ''}give the new run another name`,
  })
}

/** Makes a folder and those above it. A folder is as durable as its name in the folder above it. */
export function makeDurableFolder(folder: string): void {
  if (existsSync(folder) && statSync(folder).isDirectory()) return
  if (dirname(folder) !== folder) makeDurableFolder(dirname(folder))
  mkdirSync(folder, { recursive: true })
  const parent = openSync(dirname(folder), 'r')
  try {
    fsyncSync(parent)
  } finally {
    closeSync(parent)
  }
}

function versions(): RunRecord<unknown>['versions'] {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string }
  const platform = `${process.platform}-${process.arch}`
  return { hearth: version, libtorch: torchVersion(), node: process.version, platform }
}

const writeJson = (path: string, value: unknown) =>
  replaceFile(path, (write) => write(Buffer.from(JSON.stringify(value, undefined, 2) + '\n')))

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new FormatError(`${path} cannot be read as JSON: ${(cause as Error).message}`, { cause, remedy: RESTORE })
  }
}

/** What the system refuses is told with what was being done. */
function told<T>(what: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw explained(error, { what, remedy: 'choose a folder that this user may write to, on a disk with room' })
  }
}
