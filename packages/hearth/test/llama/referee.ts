// llama.cpp as the referee of GGUF files: the prebuilt libraries of the npm package @node-llama-cpp/linux-x64, an optional
// dependency that tests alone use, asked by a small program that is compiled when the first test needs it.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

function librariesOf(): string | undefined {
  try {
    const entry = createRequire(import.meta.url).resolve('@node-llama-cpp/linux-x64')
    return join(dirname(entry), '..', 'bins', 'linux-x64')
  } catch {
    return undefined
  }
}

const libraries = process.platform === 'linux' && process.arch === 'x64' ? librariesOf() : undefined

/** Whether there is a llama.cpp for this machine; where there is none, its tests are skipped. */
export const hasLlama = libraries !== undefined && existsSync(libraries)

export class LlamaReferee {
  readonly #folder = mkdtempSync(join(tmpdir(), 'hearth-llama-'))

  constructor() {
    const source = fileURLToPath(new URL('referee.cc', import.meta.url))
    execFileSync('c++', ['-O1', '-std=c++17', source, '-ldl', '-o', join(this.#folder, 'referee')])
  }

  #ask(...args: string[]): number[] {
    const program = join(this.#folder, 'referee')
    const said = execFileSync(program, [libraries!, ...args], { stdio: ['ignore', 'pipe', 'pipe'] }).toString()
    return said.trim().split('\n').filter(Boolean).map(Number)
  }

  /** A file of the referee's own folder. */
  path = (name: string): string => join(this.#folder, name)

  /** The logits at every position, and the tokens that greedily follow. */
  logits(model: string, ids: readonly number[], greedy: number): { logits: number[]; tokens: number[] } {
    const out = this.path('logits')
    const tokens = this.#ask('logits', model, out, String(greedy), ...ids.map(String))
    return { logits: this.#floats(out), tokens }
  }

  tokens(model: string, text: string): number[] {
    writeFileSync(this.path('text'), text)
    return this.#ask('tokens', model, this.path('text'))
  }

  /** What blocks of ggml's type mean. */
  numbers(type: number, blocks: Uint8Array, count: number): number[] {
    writeFileSync(this.path('blocks'), blocks)
    this.#ask('blocks', String(type), String(count), this.path('blocks'), this.path('numbers'))
    return this.#floats(this.path('numbers'))
  }

  #floats(path: string): number[] {
    const bytes = readFileSync(path)
    return Array.from(new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4))
  }

  /** The command that times a model; see referee.cc. */
  timing(model: string, threads: number, prompt: number): [program: string, ...args: string[]] {
    return [join(this.#folder, 'referee'), libraries!, 'time', model, String(threads), String(prompt)]
  }

  close(): void {
    rmSync(this.#folder, { recursive: true })
  }
}
