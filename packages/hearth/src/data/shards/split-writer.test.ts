import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HearthError } from '@hearth/torch'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SplitWriter } from './split-writer.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hearth-split-'))
})
afterAll(() => rm(folder, { recursive: true }))

test('tokens are little-endian, two bytes each', async () => {
  const writer = new SplitWriter(folder, 'train', 'uint16', 4)
  writer.write(Int32Array.of(1, 256, 65535), 3)
  writer.endDocument(7)
  writer.write(Int32Array.of(2), 1)
  const split = writer.finish()
  expect(split).toMatchObject({ tokens: 5, documents: 1, textBytes: 4 })
  expect([...(await readFile(join(folder, 'train-00000.bin')))]).toEqual([1, 0, 0, 1, 255, 255, 7, 0])
  expect([...(await readFile(join(folder, 'train-00001.bin')))]).toEqual([2, 0])
})

test.skipIf(!existsSync('/dev/full'))('a full disk is one clear error', async () => {
  await symlink('/dev/full', join(folder, 'heldout-00000.bin'))
  const writer = new SplitWriter(folder, 'heldout', 'uint16', 4)
  const write = (): void => writer.write(Int32Array.of(1, 2, 3, 4), 4)
  expect(write).toThrow(HearthError)
  writer.abandon()
  const again = new SplitWriter(folder, 'heldout', 'uint16', 4)
  expect(() => again.write(Int32Array.of(1, 2, 3, 4), 4)).toThrow(
    /heldout-00000\.bin: cannot be written: ENOSPC[^]*remedy: make room on the disk/,
  )
  again.abandon()
})
