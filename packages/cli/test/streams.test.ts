// What all commands have in common: help, streams, colours, broken pipes, and the machine that `doctor` finds.
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { fixture, hearth } from './hearth.js'

const commands = readdirSync(fileURLToPath(new URL('../src/commands', import.meta.url)))
  .filter((name) => !name.includes('.test.') && name !== 'index.ts')
  .map((name) => name.replace('.ts', ''))

describe('help', () => {
  test('without a command lists every command', async () => {
    const { code, stdout, stderr } = await hearth([])
    expect([code, stderr]).toEqual([0, ''])
    for (const name of commands) expect(stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'))
  })

  test.each(commands)('%s --help prints usage, options and examples', async (name) => {
    const { code, stdout, stderr } = await hearth([name, '--help'])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(new RegExp(`^Usage: hearth ${name} .*\\[options\\]\n`))
    expect(stdout).toContain('--help')
    expect(stdout).toMatch(/\nExamples:\n {2}# .*\n {2}hearth /)
    expect((await hearth(['help', name])).stdout).toBe(stdout)
  })

  test('needs no native module: it is there before set-up has built one', async () => {
    const says = 'process.on("exit", () => console.error(process.report.getReport().sharedObjects.join()))'
    const env = { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(says)}` }
    expect((await hearth(['train', '--help'], { env })).stderr).not.toContain('hearth_torch')
    expect((await hearth(['score', fixture('gpt2'), '--ids', 'nowhere'], { env })).stderr).toContain('hearth_torch')
  })

  test('--version prints the version', async () => {
    expect((await hearth(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })
})

describe('output', () => {
  test('has no colours when it is not a terminal', async () => {
    const { stdout, stderr } = await hearth(['train', '--lst'])
    expect(stdout + stderr).not.toContain('\x1b')
  })

  test('with --json is JSON and nothing else', async () => {
    const { stdout } = await hearth(['train', '--list', '--json'])
    const names = (JSON.parse(stdout) as { name: string }[]).map(({ name }) => name)
    expect(names).toContain('spark')
  })

  test('to a reader that has gone away ends quietly', async () => {
    const main = fileURLToPath(new URL('../dist/main.js', import.meta.url))
    const script = `"$0" "$1" train --list | head -n 1`
    const child = spawn('bash', ['-o', 'pipefail', '-c', script, process.execPath, main])
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (text: Buffer) => (stdout += text.toString()))
    child.stderr.on('data', (text: Buffer) => (stderr += text.toString()))
    const code = await new Promise((resolve) => child.on('close', resolve))
    expect([stdout.split('\n').length, stderr, code]).toEqual([2, '', 0])
  })
})

test('doctor says what was found and measures it', async () => {
  const { code, stdout } = await hearth(['doctor', '--json'])
  const { machine, engine, measured, dtype } = JSON.parse(stdout) as Record<string, Record<string, unknown>>
  expect(code).toBe(0)
  expect(machine).toMatchObject({ node: process.version })
  expect(engine!.version).toMatch(/^\d+\.\d+/)
  for (const name of ['matmulFloat32', 'matmulBfloat16', 'memoryRead', 'operatorCall']) {
    expect(measured![name], name).toBeGreaterThan(0)
  }
  for (const peak of ['peakFloat32', 'peakBfloat16']) expect(measured![peak], peak).toBeGreaterThanOrEqual(0)
  expect(['float32', 'bfloat16']).toContain(dtype)
})
