import { FormatError } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { formatManifest, parseManifest } from './manifest.js'
import type { Json, Manifest } from './manifest.js'

const hash = 'a'.repeat(64)
const manifest: Manifest = {
  format: 'hearth-checkpoint',
  version: 1,
  step: 420,
  parent: null,
  savedAt: '2026-01-31T12:00:00.000Z',
  blockBytes: 10,
  shards: [{ file: 'state-00001-of-00001.safetensors', bytes: 25, blocks: [hash, hash, hash] }],
  meta: {},
}
const bytesOf = (change: object) => formatManifest({ ...manifest, ...change }).bytes
const shard = manifest.shards[0]!

describe('a manifest', () => {
  test.each<Json>([
    {},
    null,
    'text',
    [1.5e300, -0, 1e-7, true],
    { '2': 'two', '1': 'one', __proto__x: 1, é: '\u2028\ud83d\ude00' },
    JSON.parse('{"__proto__": {"checksum": 1}}') as Json,
  ])('comes back with what the trainer put in it: %j', (meta) => {
    const { bytes, hash } = formatManifest({ ...manifest, meta })
    const parsed = parseManifest(bytes)
    expect(parsed.hash).toBe(hash)
    expect(JSON.stringify(parsed.manifest.meta)).toBe(JSON.stringify(meta))
  })

  test('has a hash of its own for each state', () => {
    expect(formatManifest(manifest).hash).not.toBe(formatManifest({ ...manifest, step: 421 }).hash)
  })

  test.each<[string, object]>([
    ['a path in place of a name', { shards: [{ ...shard, file: '../../etc/x.safetensors' }] }],
    ['an absolute path', { shards: [{ ...shard, file: '/etc/x.safetensors' }] }],
    ['a hidden file', { shards: [{ ...shard, file: '.safetensors' }] }],
    ['one file twice', { shards: [shard, shard] }],
    ['no shards', { shards: [] }],
    ['shards that are no list', { shards: {} }],
    ['a shard that is no record', { shards: [null] }],
    ['too few checksums', { shards: [{ ...shard, blocks: [hash] }] }],
    ['a checksum that is none', { shards: [{ ...shard, blocks: [hash, hash, 'x'] }] }],
    ['a negative size', { shards: [{ ...shard, bytes: -1, blocks: [] }] }],
    ['a step that is no integer', { step: 1.5 }],
    ['a step beyond 2^53', { step: 2 ** 60 }],
    ['a parent that is no hash', { parent: 'x' }],
    ['blocks of nothing', { blockBytes: 0 }],
    ['blocks larger than memory', { blockBytes: 2 ** 50 }],
    ['no meta', { meta: undefined }],
    ['a time that is none', { savedAt: 'soon' }],
    ['another format', { format: 'other' }],
    ['a later version', { version: 2 }],
  ])('is refused with %s, although its checksum is right', (_, change) => {
    expect(() => parseManifest(bytesOf(change))).toThrow(FormatError)
  })

  test.each([
    ['nothing', ''],
    ['no JSON', '{'],
    ['a list', '[]'],
    ['null', 'null'],
    ['a tower of brackets', '{"format":"hearth-checkpoint","meta":' + '['.repeat(100_000) + ']'.repeat(100_000) + '}'],
  ])('is refused when it is %s', (_, text) => {
    expect(() => parseManifest(Buffer.from(text))).toThrow(FormatError)
  })

  test('is refused when a key is repeated, a space added, or the text is not UTF-8', () => {
    const text = Buffer.from(bytesOf({})).toString('latin1')
    for (const other of [text.replace('{', '{\n "step": 7,'), text.replace('420', ' 420'), text.replace('420', '\xff')])
      expect(() => parseManifest(Buffer.from(other, 'latin1'))).toThrow(FormatError)
  })
})
