// Reads the metadata of a GGUF file key by key and collects what is missing or of another kind. Which keys there are is
// each architecture's own.
import { ConfigError, type ConfigIssue } from '@hearth/torch'
import type { GgufFile } from './gguf-file.js'

export class MetadataReader {
  readonly #file: GgufFile
  readonly #prefix: string
  readonly #issues: ConfigIssue[] = []

  /** @param prefix of the keys, as `llama.` */
  constructor(file: GgufFile, prefix: string) {
    this.#file = file
    this.#prefix = prefix
  }

  issue(key: string, message: string): void {
    this.#issues.push({ path: this.#prefix + key, message })
  }

  has(key: string): boolean {
    return this.#file.metadata.has(this.#prefix + key)
  }

  /** A number; NaN, and an issue, where there is none and no fallback. */
  number(key: string, fallback?: number): number {
    const value = this.#file.metadata.get(this.#prefix + key) ?? fallback
    if (typeof value === 'number') return value
    this.issue(key, value === undefined ? 'is missing, must be a number' : 'must be one number')
    return NaN
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.#file.metadata.get(this.#prefix + key) ?? fallback
    if (typeof value === 'boolean') return value
    this.issue(key, 'must be true or false')
    return fallback
  }

  text(key: string, fallback: string): string {
    const value = this.#file.metadata.get(this.#prefix + key) ?? fallback
    if (typeof value === 'string') return value
    this.issue(key, 'must be a text')
    return fallback
  }

  /** The shape of a tensor that must be there. */
  shapeOf(name: string): readonly number[] {
    const entry = this.#file.entries.get(name)
    if (entry === undefined) this.#issues.push({ path: name, message: 'the tensor is missing' })
    return entry?.shape ?? []
  }

  hasTensor(name: string): boolean {
    return this.#file.entries.has(name)
  }

  /** The few numbers of a small tensor. */
  numbersOf(name: string): number[] {
    const tensor = this.#file.tensor(name)
    const numbers = tensor.to('float32').toArray()
    tensor.dispose()
    return numbers
  }

  /** @throws ConfigError with every issue */
  finish(): void {
    if (this.#issues.length > 0) throw new ConfigError(this.#file.path, this.#issues)
  }
}
