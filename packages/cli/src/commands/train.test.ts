import { recipes } from '@hearth/recipes'
import type { RunConfig } from 'hearth/train'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runLine } from '../parse.js'
import { recordedTerminal } from '../terminal-recording.js'
import { train } from './train.js'

let folder: string
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'hearth-train-'))))
afterAll(() => rmSync(folder, { recursive: true }))

async function dryRun(...words: string[]): Promise<RunConfig> {
  const terminal = recordedTerminal()
  await runLine(['train', ...words, '--dry-run'], [train], '', terminal)
  return JSON.parse(terminal.out) as RunConfig
}

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

describe('hearth train --dry-run', () => {
  test.each(recipes.map(({ name }) => name))('prints the whole configuration of %s', async (name) => {
    const config = await dryRun(name, 'texts/')
    expect(config.name).toBe(name)
    expect(config.data.sources).toEqual([{ path: 'texts/', textColumn: 'text' }])
  })

  test('a path that is no recipe is data for spark', async () => {
    const text = file('poem.txt', 'a poem')
    const config = await dryRun(text, 'other/*.md')
    expect(config.model.preset).toBe('spark')
    expect(config.data.sources.map(({ path }) => path)).toEqual([text, 'other/*.md'])
  })

  test('--set changes any field, and --name the name', async () => {
    const config = await dryRun(
      'spark',
      'x',
      '--name',
      '007',
      '--set',
      'optimizer.learningRate=2e-3',
      '--set',
      'data.sources.0.weight=2',
    )
    expect(config.name).toBe('007')
    expect(config.optimizer.learningRate).toBe(0.002)
    expect(config.data.sources[0]!.weight).toBe(2)
  })

  test('--ranks cuts the batch into as many slots, and --sharding is for ranks alone', async () => {
    expect((await dryRun('spark', 'x', '--ranks', '2', '--set', 'batch=8')).slots).toBe(2)
    await expect(dryRun('spark', 'x', '--sharding', 'optimizer')).rejects.toThrow(
      /--sharding is for runs with --ranks N/,
    )
    await expect(dryRun('spark', 'x', '--ranks', '2', '--sharding', 'half')).rejects.toThrow(
      /expected one of replicate, optimizer, gradients, everything/,
    )
  })

  test('a .json file is a configuration; data of the line replaces its own', async () => {
    const path = file(
      'run.json',
      JSON.stringify({
        name: 'j',
        steps: 300,
        batch: 2,
        sequenceLength: 16,
        model: { preset: 'spark' },
        optimizer: { learningRate: 0.001 },
        data: { sources: [{ path: 'old' }], heldOutFraction: 0.5 },
      }),
    )
    expect((await dryRun(path)).data).toMatchObject({ sources: [{ path: 'old' }], heldOutFraction: 0.5 })
    expect((await dryRun(path, 'new')).data).toMatchObject({ sources: [{ path: 'new' }], heldOutFraction: 0.5 })
  })
})

describe('hearth train refuses, before anything is done,', () => {
  test('several wrong fields at once, each with its path and the name that was meant', async () => {
    const attempt = dryRun(
      'spark',
      'x',
      '--set',
      'stps=3',
      '--set',
      'optimizer.learningRate=NaN',
      '--set',
      'optimizer.learnignRate=1',
    )
    await expect(attempt).rejects.toThrow(/3 problems/)
    await expect(attempt).rejects.toThrow('stps: unknown field; did you mean "steps"?')
    await expect(attempt).rejects.toThrow('optimizer.learnignRate: unknown field; did you mean "learningRate"?')
    await expect(attempt).rejects.toThrow(/optimizer\.learningRate: .*NaN/)
  })

  test('a recipe that does not exist, with the one that was meant', async () => {
    await expect(dryRun('sprak', 'x')).rejects.toThrow(
      'there is no recipe "sprak" and no file or folder of that name; did you mean "spark"?',
    )
  })

  test('a recipe without data', async () => {
    await expect(dryRun('spark')).rejects.toThrow('recipe spark has nothing to train on')
    await expect(dryRun()).rejects.toThrow('there is nothing to train on')
  })

  test('a recipe file that is missing, or is not JSON', async () => {
    await expect(dryRun('nowhere.ts')).rejects.toThrow('there is no recipe file nowhere.ts')
    await expect(dryRun(file('broken.json', '{"name": }'))).rejects.toThrow('is not JSON')
  })
})
