// Reads a Hugging Face config.json field by field and collects everything that is wrong with it. A missing or null field
// is its default. Which fields there are is each family's own.
import { ConfigError, type ConfigIssue } from '@hearth/torch'

interface Range {
  min?: number
  max?: number
}

type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
const show = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value))

/** Larger sizes than any model's, small enough that products of them are exact. */
const LARGEST = 2 ** 31 - 1

/**
 * @example
 * const reader = new ConfigReader(json, 'config.json')
 * const layers = reader.integer('n_layer', 12)
 * reader.finish()
 */
export class ConfigReader {
  readonly #json: Json
  readonly #where: string
  readonly #prefix: string
  readonly #issues: ConfigIssue[]

  constructor(json: unknown, where: string, prefix = '', issues: ConfigIssue[] = []) {
    this.#json = isObject(json) ? json : {}
    this.#where = where
    this.#prefix = prefix
    this.#issues = issues
    if (!isObject(json)) this.issue('', `must be an object, got ${show(json)}`)
  }

  /** Notes that a field is wrong. */
  issue(key: string, message: string): void {
    this.#issues.push({ path: (this.#prefix + key).replace(/\.$/, '') || '(root)', message })
  }

  has(key: string): boolean {
    return this.#json[key] !== undefined && this.#json[key] !== null
  }

  /** The first of the keys that is there. */
  first(...keys: string[]): string {
    return keys.find((key) => this.has(key)) ?? keys[0]!
  }

  /** A whole number; NaN, which passes every later check, where it is not one. */
  integer(key: string, fallback: number, { min = 1, max = LARGEST }: Range = {}): number {
    return this.#numeric(key, fallback, `a whole number from ${min} to ${max}`, (value) => {
      return Number.isInteger(value) && value >= min && value <= max
    })
  }

  /** A whole number where null stands for none; the fallback where the key is missing. */
  optional(key: string, fallback: number | undefined): number | undefined {
    if (this.#json[key] === null) return undefined
    return this.has(key) || fallback !== undefined ? this.integer(key, fallback!) : undefined
  }

  /** A finite number above 0. */
  positive(key: string, fallback: number): number {
    return this.#numeric(key, fallback, 'a number above 0', (value) => Number.isFinite(value) && value > 0)
  }

  /** A share of what is forgotten: from 0 up to but not 1. */
  rate(key: string, fallback: number): number {
    return this.#numeric(key, fallback, 'a number from 0 to below 1', (value) => value >= 0 && value < 1)
  }

  #numeric(key: string, fallback: number, expected: string, holds: (value: number) => boolean): number {
    const value = this.has(key) ? this.#json[key] : fallback
    if (typeof value === 'number' && holds(value)) return value
    this.issue(key, this.has(key) ? `must be ${expected}, got ${show(value)}` : `is missing, must be ${expected}`)
    return NaN
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.has(key) ? this.#json[key] : fallback
    if (typeof value === 'boolean') return value
    this.issue(key, `must be true or false, got ${show(value)}`)
    return fallback
  }

  choice<T extends string>(key: string, fallback: T, choices: readonly T[]): T {
    const value = this.has(key) ? this.#json[key] : fallback
    if (choices.includes(value as T)) return value as T
    this.issue(key, `${show(value)} is not supported; supported are ${choices.join(', ')}`)
    return fallback
  }

  /** A list of `length` texts, each one of the choices; undefined where there is none. */
  list<T extends string>(key: string, choices: readonly T[], length: number): readonly T[] | undefined {
    if (!this.has(key)) return undefined
    const value = this.#json[key]
    if (Array.isArray(value) && value.length === length && value.every((item) => choices.includes(item as T)))
      return value as T[]
    this.issue(key, `must be a list of ${length} of ${choices.join(', ')}, one for each layer, got ${show(value)}`)
    return undefined
  }

  /** A list of `length` numbers above 0. */
  factors(key: string, length: number): readonly number[] {
    const value = this.#json[key]
    if (Array.isArray(value) && value.length === length && value.every((item) => typeof item === 'number' && item > 0))
      return value as number[]
    this.issue(key, `must be a list of ${length} numbers above 0, got ${show(value)}`)
    return []
  }

  /** As it stands, for keys with a shape of their own. */
  value(key: string): unknown {
    return this.#json[key]
  }

  /** Token numbers, where one number or a list may stand; null is none. */
  tokens(key: string, fallback: readonly number[]): readonly number[] {
    const value = key in this.#json ? (this.#json[key] ?? []) : fallback
    const list: readonly unknown[] = Array.isArray(value) ? value : [value]
    if (list.every((token) => Number.isInteger(token))) return list as number[]
    this.issue(key, `must be a token number or a list of them, got ${show(value)}`)
    return fallback
  }

  /** An object inside this one, whose issues count here; undefined where there is none. */
  object(key: string): ConfigReader | undefined {
    if (!this.has(key)) return undefined
    return new ConfigReader(this.#json[key], this.#where, `${this.#prefix}${key}.`, this.#issues)
  }

  /** Notes an issue when `part` does not divide `whole`. */
  divides(partKey: string, part: number, wholeKey: string, whole: number): void {
    if (whole % part > 0) this.issue(wholeKey, `${whole} cannot be divided by ${partKey} (${part})`)
  }

  /** A setting that changes the maths in a way that is not built: any value but those listed is an issue. */
  only(key: string, ...supported: unknown[]): void {
    if (this.has(key) && !supported.includes(this.#json[key]))
      this.issue(key, `${show(this.#json[key])} is not supported; supported is ${supported.map(show).join(', ')}`)
  }

  /** @throws ConfigError with every issue */
  finish(): void {
    if (this.#issues.length > 0) throw new ConfigError(this.#where, this.#issues)
  }
}
