// What every benchmark shares: measuring sides alternately in one run, so that a machine that slows down slows both;
// medians and their spread; a table; and bench/results/NAME.json. Not here: what is measured.
import { spawn, spawnSync, type ChildProcessByStdio } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { createInterface, type Interface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { buildSummary, cpuFeatures, numThreads, torchVersion } from '@hearth/torch'
import type { Headline } from './headline.js'

export interface Summary {
  median: number
  /** First and third quartile: half of the samples lie between them. */
  low: number
  high: number
  samples: number
}

function quantile(sorted: readonly number[], part: number): number {
  const at = (sorted.length - 1) * part
  const below = sorted[Math.floor(at)]!
  return below + (sorted[Math.ceil(at)]! - below) * (at - Math.floor(at))
}

export function summarise(samples: readonly number[]): Summary {
  const sorted = samples.toSorted((a, b) => a - b)
  return {
    median: quantile(sorted, 0.5),
    low: quantile(sorted, 0.25),
    high: quantile(sorted, 0.75),
    samples: sorted.length,
  }
}

/** One measurement, in any unit: the side says how. */
export type Measure = () => number | Promise<number>

/**
 * Takes turns: every round measures each side once, in an order that turns round every time.
 * @param warmup rounds that are thrown away
 */
export async function alternate<Name extends string>(
  sides: Record<Name, Measure>,
  { rounds, warmup = 1 }: { rounds: number; warmup?: number },
): Promise<Record<Name, Summary>> {
  const names = Object.keys(sides) as Name[]
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>
  for (let round = -warmup; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const value = await sides[name]()
      if (round >= 0) samples[name].push(value)
    }
  }
  return Object.fromEntries(names.map((name) => [name, summarise(samples[name])])) as Record<Name, Summary>
}

/** Prints rows as columns, the first to the left, numbers to the right. */
export function printTable(header: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const cells = [header, ...rows].map((row) => row.map((cell) => (typeof cell === 'number' ? short(cell) : cell)))
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)))
  for (const row of cells)
    console.log(row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '))
}

/** Three significant digits, without an exponent. */
export const short = (value: number): string =>
  Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)))

/** Writes bench/results/NAME.json: the result, its headlines for the table of all benchmarks, and the machine. */
export function writeResult(name: string, result: unknown, headlines: readonly Headline[] = []): void {
  const folder = fileURLToPath(new URL('results/', import.meta.url))
  mkdirSync(folder, { recursive: true })
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, features: cpuFeatures(), threads: numThreads() }
  const libtorch = { version: torchVersion(), build: buildSummary().split('\n').slice(0, 12) }
  const measuredAt = new Date().toISOString()
  const text = JSON.stringify({ name, measuredAt, machine, libtorch, headlines, result }, undefined, 2)
  writeFileSync(`${folder}${name}.json`, `${text}\n`)
}

const PYTHON = process.env.HEARTH_BENCH_PYTHON ?? '/usr/bin/python3'

/** Whether there is a Python with PyTorch to compare with; HEARTH_BENCH_PYTHON names another. */
export const hasPytorch = (): boolean => spawnSync(PYTHON, ['-c', 'import torch'], { stdio: 'ignore' }).status === 0

/** A program, Python's unless it is said, that answers each line on its input with one line of JSON. */
export class Peer {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>
  readonly #lines: Interface
  readonly #answers: AsyncIterator<string>

  constructor(args: readonly string[], env: NodeJS.ProcessEnv = {}, program = PYTHON) {
    this.#process = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } })
    this.#lines = createInterface(this.#process.stdout)
    this.#answers = this.#lines[Symbol.asyncIterator]()
  }

  /** The next line that the program prints. @throws Error when it ended instead */
  async read(): Promise<Record<string, unknown>> {
    const next = await this.#answers.next()
    if (next.done === true) throw new Error('the peer ended without an answer')
    return JSON.parse(next.value) as Record<string, unknown>
  }

  async ask(line: string): Promise<Record<string, unknown>> {
    this.#process.stdin.write(`${line}\n`)
    return this.read()
  }

  close(): void {
    this.#process.stdin.end()
    this.#lines.close()
  }
}
