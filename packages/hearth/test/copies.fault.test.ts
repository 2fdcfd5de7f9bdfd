// Runs whose checkpoints are copied to other places: what comes back on a new machine, and what places that fail cost.
// A tiny model on real files, a real S3 server on loopback.
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileOf, folderStore, realStorage } from 'hearth/checkpoint'
import { readMetrics, readRun, resolveConfig, restoreRun, resumeRun, runPaths, startRun } from 'hearth/train'
import type { RunConfigInput, RunEvent, RunOptions } from 'hearth/train'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { BUCKET, S3Server } from './s3-server.js'

const root = mkdtempSync(join(tmpdir(), 'hearth-run-copies-'))
const texts = join(root, 'texts.jsonl')
const STEPS = 12
let server: S3Server
let undisturbed: string

const weightsHash = (dir: string) =>
  createHash('sha256')
    .update(readFileSync(join(dir, 'model/model.safetensors')))
    .digest('hex')

beforeAll(async () => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'S3RVER')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'S3RVER')
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true')
  server = await S3Server.start()
  const words = 'the a fire log ash ember spark burns glows falls warm cold night morning and'.split(' ')
  const text = (row: number) =>
    Array.from({ length: 60 }, (_, i) => words[(row * 7 + i * i * 3) % words.length]).join(' ')
  writeFileSync(texts, Array.from({ length: 80 }, (_, row) => JSON.stringify({ text: text(row) })).join('\n'))
  await startRun(config('undisturbed', []), { dir: join(root, 'undisturbed') })
  undisturbed = weightsHash(join(root, 'undisturbed'))
})
afterAll(async () => {
  vi.unstubAllEnvs()
  await server.stop()
  rmSync(root, { recursive: true })
})
beforeEach(() => server.mend())

function config(name: string, copies: RunConfigInput['copies'], changes: Partial<RunConfigInput> = {}) {
  const sizes = {
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    intermediate_size: 64,
  }
  return resolveConfig({
    name,
    steps: STEPS,
    batch: 4,
    slots: 2,
    sequenceLength: 16,
    dtype: 'float32',
    model: { preset: 'spark', config: sizes },
    tokenizer: { vocabularySize: 300 },
    data: { sources: [{ path: texts }], heldOutFraction: 0.2 },
    optimizer: { learningRate: 3e-3 },
    schedule: { warmupSteps: 3 },
    every: { log: 1, evaluate: 6, checkpoint: 3 },
    copies,
    ...changes,
  })
}
const s3 = () => ({ to: `s3://${BUCKET}/place`, endpoint: server.endpoint })
const disk = { to: join(root, 'disk') }

/** Events of a kind, as they come. */
function recorder<K extends RunEvent['kind']>(kind: K) {
  const events: Extract<RunEvent, { kind: K }>[] = []
  const report = (event: RunEvent) => {
    if (event.kind === kind) events.push(event as (typeof events)[number])
  }
  return { events, report }
}

/** Stops a run once a step is done. */
function stopAt(step: number, told?: RunOptions['report']): Pick<RunOptions, 'signal' | 'report'> {
  const stop = new AbortController()
  const report = (event: RunEvent) => {
    told?.(event)
    if (event.kind === 'step' && event.step.number === step) stop.abort()
  }
  return { signal: stop.signal, report }
}

/** Starts a run with copies and stops it after 7 steps; its folder. */
async function stopped(name: string, copies: RunConfigInput['copies'], options: RunOptions = {}): Promise<string> {
  const dir = join(root, 'first', name)
  const result = await startRun(config(name, copies), { ...options, dir, ...stopAt(7, options.report) })
  expect(result).toMatchObject({ step: 7 })
  return dir
}

/** The machine is lost, and the texts with it. */
async function onNewMachine<T>(lost: string, work: (dir: string) => Promise<T>): Promise<T> {
  rmSync(lost, { recursive: true })
  renameSync(texts, `${texts}.away`)
  try {
    return await work(lost.replace('first', 'second'))
  } finally {
    renameSync(`${texts}.away`, texts)
  }
}

describe('a run that is copied', () => {
  test.each(['object storage', 'a folder'])(
    'to %s goes on from there on a new machine, without its texts, with the same bits',
    async (what) => {
      const name = `lost-${what.replace(' ', '-')}`
      const copied = recorder('copied')
      const dir = await stopped(name, what === 'a folder' ? [disk] : [s3()], copied)
      expect(copied.events.at(-1)).toMatchObject({ step: 7 })
      const place = what === 'a folder' ? { to: join(disk.to, name) } : { ...s3(), to: `${s3().to}/${name}` }
      await onNewMachine(dir, async (second) => {
        const fetched = recorder('fetched')
        await restoreRun(place, second, fetched)
        expect(fetched.events).toMatchObject([{ step: 7 }])
        expect(await resumeRun(second)).toMatchObject({ step: STEPS, stopped: false })
        expect(weightsHash(second)).toBe(undisturbed)
        expect(readMetrics(runPaths(second).metrics).steps).toHaveLength(STEPS)
      })
    },
  )

  test('and whose newest copy is damaged goes on from the one before, says so, and ends with the same bits', async () => {
    const dir = await stopped('damaged', [disk])
    await resumeRun(dir, stopAt(8))
    const copies = join(disk.to, 'damaged/checkpoints')
    expect(readdirSync(copies).sort()).toEqual(['step-00000007', 'step-00000008'])
    const shard = join(copies, 'step-00000008/state-00001-of-00001.safetensors')
    const bytes = readFileSync(shard)
    bytes[bytes.length >> 1]! ^= 1
    writeFileSync(shard, bytes)
    await onNewMachine(dir, async (second) => {
      const warned = recorder('warning')
      await restoreRun({ to: join(disk.to, 'damaged') }, second, warned)
      expect(warned.events[0]!.message).toMatch(/step-00000008 is refused, the one before it is used/)
      await resumeRun(second)
      expect(weightsHash(second)).toBe(undisturbed)
    })
  })

  test('and has lost its checkpoints fetches the newest by itself', async () => {
    const dir = await stopped('emptied', [disk, s3()])
    rmSync(runPaths(dir).checkpoints, { recursive: true })
    const fetched = recorder('fetched')
    await resumeRun(dir, fetched)
    expect(fetched.events).toMatchObject([{ step: 7 }])
    expect(weightsHash(dir)).toBe(undisturbed)
  })

  test('does not begin anew when its copies cannot be reached', async () => {
    const dir = await stopped('unreachable', [s3()])
    rmSync(runPaths(dir).checkpoints, { recursive: true })
    server.fail('error 500', /./)
    await expect(resumeRun(dir)).rejects.toThrow(/s3:\/\/runs\/place\/unreachable cannot be used: the server fails/)
    expect(existsSync(join(dir, 'model'))).toBe(false)
    server.mend()
    await resumeRun(dir)
    expect(weightsHash(dir)).toBe(undisturbed)
  })

  test('to a place that fails gets warnings that say since when, goes on, and is copied there as soon as can be', async () => {
    const warned = recorder('warning')
    const copied = recorder('copied')
    const placesOf = () => new Set(copied.events.map(({ to }) => to.slice(0, 3)))
    const report = (event: RunEvent) => {
      warned.report(event)
      copied.report(event)
      // The place works for one copy, and no longer.
      if (event.kind === 'copied' && event.to.startsWith('s3:')) server.fail('error 500', /./)
      if (event.kind === 'phase' && event.phase === 'training' && copied.events.length === 0)
        server.fail('error 500', /./)
    }
    const dir = await stopped('failing', [s3(), disk], { report })
    expect(warned.events.at(-1)!.message).toMatch(
      /step 7 was not copied to s3:.*failing: .*server fails[^]*no copy was made there since .* ago; it is tried again/,
    )
    expect([...placesOf()]).toEqual([disk.to.slice(0, 3)])
    server.mend()
    // Each step waits until there was a copy.
    const sampler = async () => {
      while (placesOf().size < 2) await new Promise((resolve) => setTimeout(resolve, 10))
      return ''
    }
    await resumeRun(dir, { report, sampler, change: (c) => ({ ...c, every: { ...c.every, sample: 1 } }) })
    expect(warned.events.at(-1)!.message).toMatch(
      /step 12 was not copied to s3:[^]*the last good copy there is of step \d+, made \d+ s ago; it is tried again/,
    )
    expect(weightsHash(dir)).toBe(undisturbed)
  })

  test('takes other places when it goes on', async () => {
    const dir = await stopped('moved', [])
    await resumeRun(dir, { change: (c) => ({ ...c, copies: [{ to: disk.to }] }) })
    expect(readdirSync(join(disk.to, 'moved/checkpoints'))).toContain('step-00000012')
    expect(readRun(dir).changes).toMatchObject([{ step: 7, to: { 'copies.0.to': disk.to } }])
  })
})

describe('before a run begins', () => {
  test('every place that cannot be used is named, with what helps, and nothing is made', async () => {
    const file = join(root, 'a-file')
    writeFileSync(file, '')
    const copies = [{ ...s3(), to: 's3://no-such-bucket/x' }, { to: file }, { ...s3(), endpoint: 'http://127.0.0.1:1' }]
    const dir = join(root, 'never')
    await expect(startRun(config('never', copies), { dir })).rejects.toThrow(
      /copies\.0\.to: .*no such bucket[^]*remedy[^]*copies\.1\.to: .*a-file[^]*copies\.2\.to: .*refuses the connection/,
    )
    expect(existsSync(dir)).toBe(false)
  })

  test('the folder of the run itself is no place for copies', async () => {
    const own = startRun(config('own', [{ to: root }]), { dir: join(root, 'own') })
    await expect(own).rejects.toThrow(/copies\.0\.to: .* is where the run itself is kept/)
  })

  test('what is written wrongly is told at once, and secrets have no field', () => {
    const wrong = [
      { to: 's3:bucket/x' },
      { to: 'folder', endpoint: 'http://127.0.0.1' },
      { to: 's3://b-b-b/x', endpoint: 'http://user:secret@127.0.0.1' },
    ]
    expect(() => config('wrong', wrong)).toThrow(
      /copies\.0\.to: [^]*copies\.1\.endpoint: [^]*copies\.2\.endpoint: holds a name/,
    )
    const secret: object[] = [{ to: 'x', secretAccessKey: 'S3RVER' }]
    expect(() => config('wrong', secret as RunConfigInput['copies'])).toThrow(
      /copies\.0\.secretAccessKey: unknown field/,
    )
  })
})

describe('a copy is brought back', () => {
  const told = { report: () => undefined }

  test('never into the folder of another run, nor among other files, nor with files of other names', async () => {
    const dir = await stopped('mine', [disk])
    const place = { to: join(disk.to, 'mine') }
    await expect(restoreRun(place, join(root, 'undisturbed'), told)).rejects.toThrow(/holds another run than/)
    await expect(restoreRun(place, root, told)).rejects.toThrow(/exists and is not empty/)
    await expect(restoreRun({ to: disk.to }, join(root, 'x'), told)).rejects.toThrow(/holds no run/)
    await restoreRun(place, dir, told)
    // Another run cannot take the place.
    const again = startRun(config('mine', [disk]), { dir: join(root, 'again') })
    await expect(again).rejects.toThrow(/mine holds a run already; give this one another name/)
    const store = folderStore(realStorage, place.to)
    const names = ['tokenizer/.hidden', 'tokens/0/sub/x', 'elsewhere/x']
    for (const name of names) await store.put(name, fileOf(Buffer.from('x')))
    const safe = join(root, 'safe')
    await restoreRun(place, safe, told)
    expect(readdirSync(safe).sort()).toEqual(['checkpoints', 'config.json', 'metrics.jsonl', 'tokenizer', 'tokens'])
    expect(names.filter((name) => existsSync(join(safe, name)))).toEqual([])
  })
})
