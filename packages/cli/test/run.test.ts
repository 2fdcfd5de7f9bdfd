// A run from the command line as its user sees it: train, look, stop, resume, damage, use. All in other processes.
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hearth, shows, startHearth } from './hearth.js'
import { poems, tinyRun } from './tiny-run.js'

const LONG = ['steps=100000', 'every.checkpoint=100000', 'every.evaluate=100000']
let cwd: string
beforeAll(async () => {
  cwd = mkdtempSync(join(tmpdir(), 'hearth-run-'))
  const trained = await hearth(tinyRun('done', 'every.sample=6'), { cwd })
  expect(trained.stderr).toContain('12/12')
  expect(trained.code).toBe(0)
}, 120_000)
afterAll(() => rmSync(cwd, { recursive: true }))

const run = (...args: string[]) => hearth(args, { cwd })
const json = async (...args: string[]) => JSON.parse((await run(...args, '--json')).stdout) as Record<string, unknown>

describe('a finished run', () => {
  test('is listed with its state and what it measured', async () => {
    const { stdout } = await run('runs')
    expect(stdout).toMatch(/run +state +steps +loss/)
    expect(stdout).toMatch(/done +finished +12\/12 +\d\.\d{3} +\d\.\d{3}/)
    const [first] = JSON.parse((await run('runs', '--json')).stdout) as Record<string, unknown>[]
    expect(first).toMatchObject({ name: 'done', state: 'finished', step: 12, of: 12 })
  })

  test('is shown with its whole configuration, by name or folder', async () => {
    const shown = await json('runs', 'show', 'done')
    expect(shown).toMatchObject({ config: { steps: 12, batch: 2 }, last: { step: 12 } })
    expect(await json('runs', 'show', 'runs/done')).toEqual(shown)
    expect((await run('runs', 'show', 'done')).stdout).toMatch(/optimizer\.learningRate +0\.003/)
  })

  test('wrote samples, and is never written over', async () => {
    expect(readdirSync(join(cwd, 'runs/done/samples'))).toEqual(['step-00000006.txt', 'step-00000012.txt'])
    const before = readFileSync(join(cwd, 'runs/done/model/model.safetensors'))
    const again = await hearth(tinyRun('done'), { cwd })
    expect(again.code).toBe(1)
    expect(again.stderr).toMatch(/error: the folder .*runs\/done holds a run already\n +remedy: .*hearth resume/)
    expect(readFileSync(join(cwd, 'runs/done/model/model.safetensors')).equals(before)).toBe(true)
  })

  test('generates: the same seed the same text, the prompt from the line or from stdin', async () => {
    const args = ['generate', 'done', '--max-tokens', '8', '--seed', '5']
    const [first, second, piped] = await Promise.all([
      run(...args, 'Beware the'),
      run(...args, 'Beware the'),
      hearth([...args, '-'], { cwd, input: 'Beware the\n' }),
    ])
    expect(first.stdout).toMatch(/^Beware the/)
    expect(second.stdout).toBe(first.stdout)
    expect(piped.stdout).toBe(first.stdout)
    const answer = await json(...args, 'Beware the')
    expect(`${String(answer.prompt)}${String(answer.text)}\n`).toBe(first.stdout)
    expect(answer).toMatchObject({ reason: 'length', tokens: 8 })
  })

  test('chats by a script: answers alone on stdout, commands between them, and a refused one in the exit code', async () => {
    const lines = ['Who is', '/retry', '/undo', '"""', 'Beware', 'the', '"""', '/save talk.json', '/exit', 'never']
    const args = ['chat', 'done', '--max-tokens', '6', '--seed', '5']
    const input = `${lines.join('\n')}\n`
    const [first, second] = await Promise.all([hearth(args, { cwd, input }), hearth(args, { cwd, input: '/nope\n' })])
    expect(first.code).toBe(0)
    expect(first.stderr).toMatch(/has no chat template.*\n.*Taken back: Who is\n.*Saved 1 turn\./s)
    const saved = JSON.parse(readFileSync(join(cwd, 'talk.json'), 'utf8')) as {
      turns: { user: string; assistant: string }[]
    }
    expect(saved.turns.map(({ user }) => user)).toEqual(['Beware\nthe'])
    expect(first.stdout.trimEnd().endsWith(saved.turns[0]!.assistant)).toBe(true)
    expect(second).toMatchObject({ code: 1, stdout: '' })
    expect(second.stderr).toContain('error: there is no command /nope')
  })

  test('scores a text in nats per token, perplexity and bits per byte that agree with each other', async () => {
    const score = (await json('score', 'done', '--text', poems)) as Record<
      'loss' | 'perplexity' | 'bitsPerByte' | 'tokens',
      number
    >
    expect(score.perplexity).toBeCloseTo(Math.exp(score.loss), 6)
    expect(score.bitsPerByte).toBeCloseTo((score.loss * score.tokens) / Math.LN2 / readFileSync(poems).length, 6)
  })

  test('tokenizes with its tokenizer, there and back', async () => {
    const { ids } = (await json('tokenize', 'done', 'The vorpal blade')) as { ids: number[] }
    expect((await run('tokenize', 'done', '--decode', ids.join(','))).stdout).toBe('The vorpal blade\n')
    const counted = await json('tokenize', 'done', '--file', poems)
    expect(counted).toMatchObject({ documents: 4 })
  })

  test('lets each of its checkpoints write and score as well', async () => {
    const checkpoint = 'runs/done/checkpoints/step-00000008'
    const written = await run('generate', checkpoint, '--max-tokens', '4', '--seed', '5', 'Beware')
    expect([written.code, written.stderr, written.stdout.slice(0, 6)]).toEqual([0, '', 'Beware'])
    const [earlier, end] = await Promise.all([checkpoint, 'done'].map((model) => json('score', model, '--text', poems)))
    expect(earlier!.loss).toBeGreaterThan(end!.loss as number)
  })

  test('is inspected: the run, its model, a checkpoint, a file', async () => {
    expect(await json('inspect', 'done')).toMatchObject({ kind: 'run', facts: { family: 'llama', layers: 2 } })
    expect(await json('inspect', 'runs/done/model')).toMatchObject({ kind: 'model', facts: { width: 48 } })
    expect(await json('inspect', 'runs/done/checkpoints/step-00000012')).toMatchObject({
      kind: 'checkpoint',
      facts: { step: 12, verified: true },
    })
    expect(await json('inspect', 'runs/done/model/model.safetensors')).toMatchObject({ kind: 'safetensors file' })
  })
})

describe('a run that goes on with --set', () => {
  beforeAll(async () => expect((await hearth(tinyRun('further'), { cwd })).code).toBe(0))

  test('is refused what decided the steps already done, all of it at once', async () => {
    const settings = ['batch=4', 'seed=1', 'stps=20'].flatMap((setting) => ['--set', setting])
    const { code, stdout, stderr } = await run('resume', 'further', ...settings)
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/3 problems[^]*stps: .*"steps"[^]*seed: 1337 cannot become 1[^]*batch: 2 cannot become 4/)
    expect(stderr).toMatch(/remedy: .*A run that goes on takes: steps, every/)
    expect((await run('resume', 'further', '--set', 'steps')).code).toBe(2)
  })

  test('takes more steps than it was to, also when it was finished, and says so', async () => {
    const { code, stdout, stderr } = await run('resume', 'further', '--set', 'steps=20')
    expect(stderr).toMatch(
      /Changed after step 12: steps 12 → 20\n {2}the learning rate of the next step becomes \S+; it was to be \S+/,
    )
    expect([code, stdout]).toEqual([0, expect.stringContaining('Done: 20 steps')])
    expect((await run('runs', 'show', 'further')).stdout).toMatch(/Changed after step 12, .*\n +steps +20/)
    expect(readdirSync(join(cwd, 'runs/further'))).toContain('model-step-00000012')
  })
})

describe('a run that is asked to stop', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('by %s finishes its step, saves, says how to go on, and ends with %i', async (signal, code) => {
    const started = startHearth(tinyRun(`stopped-${code}`, ...LONG), { cwd })
    await shows(started, /\d+\/100000 +loss/)
    started.child.kill(signal)
    const { code: ended, stdout, stderr } = await started.finished
    expect(stderr).toContain('Stopping: the step at hand is finished and saved first.')
    expect(stdout).toMatch(
      /Stopped after step \d+ of 100000; everything is saved\. It goes on with:\n {2}.*hearth resume runs\/stopped-\d+/,
    )
    expect(ended).toBe(code)
    expect(await json('runs', 'show', `stopped-${code}`)).toMatchObject({ checkpoints: [{ revision: 1 }] })
  })

  test('before its first step ends the same way', async () => {
    const started = startHearth(tinyRun('early', ...LONG), { cwd })
    await shows(started, /Training the tokenizer/)
    started.child.kill('SIGTERM')
    expect((await started.finished).code).toBe(143)
    const resumed = startHearth(['resume', 'early'], { cwd })
    await shows(resumed, /\d+\/100000 +loss/)
    resumed.child.kill('SIGINT')
    expect((await resumed.finished).code).toBe(130)
  })
})

describe('a checkpoint that is damaged', () => {
  /** A run stopped at step 8, with checkpoints of steps 4 and 8. */
  async function stoppedRun(name: string): Promise<string> {
    const { code } = await hearth(tinyRun(name, 'every.checkpoint=4'), { cwd })
    expect(code).toBe(0)
    rmSync(join(cwd, 'runs', name, 'checkpoints/step-00000012'), { recursive: true })
    return join(cwd, 'runs', name, 'checkpoints/step-00000008')
  }

  const shardOf = (checkpoint: string) =>
    join(
      checkpoint,
      readdirSync(checkpoint).find((name) => name.endsWith('.safetensors'))!,
    )
  const damages: [string, (checkpoint: string) => void][] = [
    ['by one bit', (checkpoint) => flipBit(shardOf(checkpoint))],
    ['by its end', (checkpoint) => truncateSync(shardOf(checkpoint), 1000)],
    ['in its manifest', (checkpoint) => writeFileSync(join(checkpoint, 'manifest.json'), '{}')],
  ]

  test.each(damages)(
    '%s is refused and said so; the one before it is used, and the end is the same',
    async (what, damage) => {
      const name = `damaged-${what.replaceAll(' ', '-')}`
      damage(await stoppedRun(name))
      const { code, stderr } = await run('resume', name)
      expect(stderr).toMatch(/warning: checkpoint .*step-00000008 is refused, the one before it is used/)
      expect(code).toBe(0)
      const model = (run: string) => readFileSync(join(cwd, 'runs', run, 'model/model.safetensors'))
      expect(model(name).equals(model('done'))).toBe(true)
    },
  )
})

function flipBit(path: string): void {
  const file = openSync(path, 'r+')
  const byte = Buffer.alloc(1)
  readSync(file, byte, 0, 1, 5000)
  byte[0]! ^= 1
  writeSync(file, byte, 0, 1, 5000)
  closeSync(file)
}

test('a recipe in TypeScript works in a folder without any project, and may import others', async () => {
  writeFileSync(join(cwd, 'size.ts'), 'export const steps: number = 777\n')
  writeFileSync(
    join(cwd, 'mine.ts'),
    `import { spark } from '@hearth/recipes'
import { steps } from './size.js'
export default (data: string[]) => ({ ...spark(data), name: 'mine', steps })
`,
  )
  const { stdout, stderr } = await run('train', 'mine.ts', 'texts/', '--dry-run')
  expect(stderr).toBe('')
  expect(JSON.parse(stdout)).toMatchObject({ name: 'mine', steps: 777, data: { sources: [{ path: 'texts/' }] } })
})
