// Rows from a server on loopback that answers as the hub does, then from the cache alone; and from files of each kind.
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DuckDBInstance } from '@duckdb/node-api'
import { defineTask } from './task-definition.js'
import { readSplit } from './task-data.js'

const COMMITS: Record<string, string> = { main: 'a'.repeat(40), 'refs/convert/parquet': 'b'.repeat(40) }
const folder = mkdtempSync(join(tmpdir(), 'hearth-task-data-'))
/** Of each data set by branch. */
const sets: Record<string, Record<string, Record<string, string>>> = {
  'me/carded': {
    main: {
      'README.md': '---\nconfigs:\n- config_name: easy\n  data_files:\n  - split: test\n    path: rows/*.jsonl\n---\n',
      'rows/a.jsonl': '{"q":"first"}\n{"q":"second"}\n',
      'other/test.jsonl': '{"q":"wrong"}\n',
    },
  },
  'me/program': {
    main: { 'README.md': 'no head', 'program.py': 'print()' },
    'refs/convert/parquet': { 'easy/test/0000.jsonl': '{"q":"made by the hub"}\n' },
  },
  'me/empty': { main: { 'program.py': 'print()', 'data/train.jsonl': '{"q":"a"}\n' } },
}
let server: Server
let asked: string[] = []
let hub: { endpoint: string; cache: string; token: string }

beforeAll(async () => {
  server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, 'http://hub').pathname)
    asked.push(path)
    const json = (body: unknown, status = 200) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    const [, name = '', kind, rest = ''] = /(me\/\w+)\/(revision|tree|resolve)\/(.*)/.exec(path) ?? []
    const branch = Object.keys(COMMITS).find((each) => rest.startsWith(each) || rest.startsWith(COMMITS[each]!))
    const files = sets[name]?.[branch ?? '']
    if (files === undefined) return void json({ error: 'no' }, 404)
    if (kind === 'revision') return void json({ _id: '1', id: name, sha: COMMITS[branch!] })
    const oid = (text: string) =>
      createHash('sha1')
        .update(`blob ${Buffer.byteLength(text)}\0${text}`)
        .digest('hex')
    const entries = Object.entries(files).map(([each, text]) => ({
      type: 'file',
      path: each,
      size: Buffer.byteLength(text),
      oid: oid(text),
    }))
    if (kind === 'tree') return void json(entries)
    response.end(files[rest.slice(41)])
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  hub = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cache: join(folder, 'cache'),
    token: '',
  }
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
  rmSync(folder, { recursive: true })
})

const task = (fields: Record<string, unknown>) =>
  defineTask({
    file: join(folder, 'x.yaml'),
    fields: { task: 'x', test_split: 'test', doc_to_text: 'q', doc_to_target: 'q', ...fields },
  })

test('a data set by name: the files that its card names, or those that the hub made of a program; then without a network', async () => {
  for (const [dataset_path, rows] of [
    ['me/carded', [{ q: 'first' }, { q: 'second' }]],
    ['me/program', [{ q: 'made by the hub' }]],
  ] as const) {
    const own = task({ dataset_path, dataset_name: 'easy' })
    expect(await readSplit(own, 'test', hub)).toEqual(rows)
    asked = []
    expect(await readSplit(own, 'test', { ...hub, offline: true })).toEqual(rows)
    expect(asked).toEqual([])
  }
  await expect(readSplit(task({ dataset_path: 'me/empty' }), 'test', hub)).rejects.toThrow(
    /x: me\/empty has no files for the split test; it has data\/train\.jsonl/,
  )
  await expect(readSplit(task({ dataset_path: 'me/nothing' }), 'test', hub)).rejects.toThrow(/me\/nothing/)
})

test('files beside the task: JSON lines, a list, CSV and Parquet, in lists and folders', async () => {
  writeFileSync(join(folder, 'a.json'), '[{"q":"list"}]')
  writeFileSync(join(folder, 'test.csv'), 'q,n\ncomma,1\n')
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  await connection.run(`COPY (SELECT ['x', 'y'] AS q, 7 AS n) TO '${join(folder, 'b.parquet')}' (FORMAT parquet)`)
  connection.closeSync()
  const files = { data_files: { test: ['a.json', 'b.parquet'] } }
  expect(await readSplit(task({ dataset_path: 'json', dataset_kwargs: files }), 'test')).toEqual([
    { q: 'list' },
    { q: ['x', 'y'], n: 7 },
  ])
  expect(await readSplit(task({ dataset_path: '.' }), 'test')).toEqual([{ q: 'comma', n: '1' }])
  writeFileSync(join(folder, 'bad.jsonl'), '{"q":1}\n{"q"\n[1]\n')
  await expect(
    readSplit(task({ dataset_path: 'json', dataset_kwargs: { data_files: 'bad.jsonl' } }), 'test'),
  ).rejects.toThrow(/2 problems[^]*line 2[^]*line 3: is no object/)
})
