// The documentation is true: every link leads somewhere, every command in the README works as written, and the pages are
// as short as they promise to be.
import { execFile } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const pages = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).flatMap((name) =>
    name.endsWith('.md') ? [`docs/${name}`] : [],
  ),
]
const exec = promisify(execFile)

/** The lines of a page's code blocks of one language. */
const code = (page: string, language: string): string[] =>
  [...read(page).matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map((match) => match[1]!)

test.each(pages)('every link of %s leads to a file that exists', (page) => {
  const links = [...read(page).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map((match) => match[1]!)
  const local = links.filter((link) => !/^https?:/.test(link))
  expect(local.filter((link) => !existsSync(join(root, dirname(page), link)))).toEqual([])
})

test('the README has fewer than 150 lines and begins with the two commands; the page that explains everything at most 200', () => {
  expect(read('README.md').split('\n').length).toBeLessThan(150)
  expect(code('README.md', 'sh')[0]).toMatch(/^npm start .*\nnpm test .*\n$/)
  expect(read('docs/all-of-hearth.md').split('\n').length).toBeLessThanOrEqual(200)
})

test('the tree in the README is the tree', () => {
  const tree = /## Where things are\n\n```\n(.*?)```/s.exec(read('README.md'))![1]!
  const parents: string[] = []
  for (const line of tree.trim().split('\n')) {
    const depth = line.search(/\S/) / 2
    const names = line
      .trim()
      .split(/\s{2,}|\/ (?=\w+\/)/)[0]!
      .split(' ')
      .filter((name) => name.endsWith('/'))
    const folder = [...parents.slice(0, depth), names[0]!].join('')
    for (const name of names) expect(existsSync(join(root, ...parents.slice(0, depth), name)), folder).toBe(true)
    parents.splice(depth, Infinity, names[0]!)
  }
})

describe('the commands of the README', () => {
  const lines = code('README.md', 'sh')[1]!.trim().split('\n')
  let cwd: string
  beforeAll(() => {
    cwd = mkdtempSync(join(tmpdir(), 'hearth-readme-'))
    mkdirSync(join(cwd, 'my-texts'))
    writeFileSync(join(cwd, 'my-texts/poems.txt'), read('examples/texts/carroll.txt'))
    writeFileSync(join(cwd, 'chapter.txt'), 'Call me Ishmael. Some years ago, never mind how long precisely.')
    symlinkSync(join(root, 'node_modules'), join(cwd, 'node_modules'))
  })
  afterAll(() => rmSync(cwd, { recursive: true }))

  /** Two small steps instead of some thousand are all that is changed. */
  const shortened = (line: string) =>
    line.includes(' train ')
      ? `${line} --set steps=2 --set batch=1 --set sequenceLength=8 --set schedule.warmupSteps=1`
      : line

  test('are five, one for each of the main tasks', () => {
    expect(lines.map((line) => /^npx hearth (\w+)/.exec(line)?.[1])).toEqual([
      'train',
      'resume',
      'generate',
      'score',
      'doctor',
    ])
  })

  test.each(lines)('%s', { timeout: 120_000 }, async (line) => {
    const command = shortened(line.replace(/ +#.*/, '')).replace(
      /^npx hearth/,
      `"${process.execPath}" node_modules/.bin/hearth`,
    )
    const { stdout } = await exec('bash', ['-c', command], { cwd })
    expect(stdout).not.toBe('')
  })

  test('the program in it trains', { timeout: 120_000 }, async () => {
    const program = code('README.md', 'ts')[0]!
      .replace('steps: 500', 'steps: 2, batch: 1, sequenceLength: 8, schedule: { warmupSteps: 1 }')
      .replace('runs/mine', 'runs/program')
    writeFileSync(join(cwd, 'program.mts'), program)
    const { stdout } = await exec(process.execPath, [join(root, 'node_modules/tsx/dist/cli.mjs'), 'program.mts'], {
      cwd,
    })
    expect(stdout).toMatch(/^(undefined|\d+\.\d+)\n$/)
  })
})
