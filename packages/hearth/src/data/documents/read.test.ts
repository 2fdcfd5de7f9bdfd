import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { DuckDBInstance } from '@duckdb/node-api'
import { DataError } from '@hearth/torch'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readDocuments } from './read.js'
import type { Document, ReadOptions } from './read.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hearth-documents-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function write(name: string, contents: string | Uint8Array): Promise<string> {
  const path = join(folder, name)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, contents)
  return path
}

/** Runs DuckDB, which writes the compressed and columnar files of these tests. */
async function duckdb(sql: string): Promise<void> {
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  await connection.run(sql)
  connection.closeSync()
}

async function read(sources: string | string[], options?: ReadOptions): Promise<Document[]> {
  const documents: Document[] = []
  for await (const document of readDocuments(sources, options)) documents.push(document)
  return documents
}

async function texts(sources: string | string[], options?: ReadOptions): Promise<string[]> {
  return (await read(sources, options)).map(({ text }) => text)
}

const lines = ['Call me Ishmael.', 'some "quoted", text\nof two lines', '# not a comment', '🦙 ½ é']

describe('every kind of file', () => {
  const jsonl = lines.map((text, id) => `${JSON.stringify({ id, text })}\n`).join('')
  const csv = `id,text\n${lines.map((text, id) => `${id},"${text.replaceAll('"', '""')}"\n`).join('')}`
  const plain = lines.join('<|endoftext|>')

  test.each([
    ['plain.txt', plain],
    ['plain.md', plain],
    ['UPPER.TXT', plain],
    ['plain.jsonl', jsonl],
    ['plain.csv', csv],
    ['plain.csv', `\ufeff${csv.replaceAll('\n', '\r\n').replace('text\r\nof', 'text\nof')}`],
    ['zipped.txt.gz', gzipSync(plain)],
    ['zipped.jsonl.gz', gzipSync(jsonl)],
    ['zipped.csv.gz', gzipSync(csv)],
  ])('%s', async (name, contents) => {
    expect(await texts(await write(`kinds/${name}`, contents))).toEqual(lines)
  })

  test.each(['jsonl.zst', 'csv.zst', 'parquet'])('.%s', async (suffix) => {
    const [from, to] = [await write('kinds/from.jsonl', jsonl), join(folder, `kinds/to.${suffix}`)]
    const format = { 'jsonl.zst': 'json, compression zstd', 'csv.zst': 'csv, compression zstd', parquet: 'parquet' }[
      suffix
    ]
    await duckdb(`COPY (SELECT * FROM read_json('${from}')) TO '${to}' (format ${format!})`)
    expect(await texts(to)).toEqual(lines)
  })

  test('.txt.zst', async () => {
    const path = join(folder, 'kinds/to.txt.zst')
    const [one, two] = ['first line', 'second line']
    const form = `(format csv, header false, quote '', compression zstd)`
    await duckdb(`COPY (SELECT unnest(['${one}<|endoftext|>', '${two}'])) TO '${path}' ${form}`)
    expect(await texts(path)).toEqual([one, `${two}\n`])
    await truncate(path, 30)
    await expect(texts(path)).rejects.toThrow(/to\.txt\.zst: cannot be read/)
  })

  test('documents say where they come from; rows without text leave a gap', async () => {
    const path = await write('gaps.jsonl', '{"text":"a"}\n{"text":null}\n{"other":1}\n{"text":"  "}\n{"text":"b"}\n')
    expect(await read(path)).toEqual([
      { text: 'a', source: path, index: 0, part: 0 },
      { text: 'b', source: path, index: 4, part: 0 },
    ])
  })

  test('the column that holds the text can be named', async () => {
    const path = await write('column.jsonl', '{"it\'s \\"body\\"":"a","text":"b"}\n')
    expect(await texts(path, { textColumn: `it's "body"` })).toEqual(['a'])
  })

  test('a text in a table may hold <|endoftext|>: it stays one document', async () => {
    const path = await write('smuggle.jsonl', '{"text":"a<|endoftext|>b"}\n')
    expect(await texts(path)).toEqual(['a<|endoftext|>b'])
  })

  test('names with quotes, brackets and stars are files, not patterns', async () => {
    await write('odd/a1.jsonl', '{"text":"other"}\n')
    const path = await write("odd/a[1] it's*.jsonl", '{"text":"odd"}\n')
    expect(await texts(path)).toEqual(['odd'])
    expect(await texts(await write('odd/a[1].txt', 'odd'))).toEqual(['odd'])
  })
})

describe('folders and globs', () => {
  test('a folder gives all its files by name, without hidden ones, empty ones and other kinds', async () => {
    await write('tree/b.txt', 'b')
    await write('tree/a/2.txt', 'a2')
    await write('tree/a/1.md', 'a1')
    await write('tree/c.pdf', '%PDF')
    await write('tree/.hidden.txt', 'hidden')
    await write('tree/.git/x.txt', 'hidden')
    await write('tree/empty.txt', '')
    await symlink('..', join(folder, 'tree/a/loop'))
    await symlink('nowhere', join(folder, 'tree/dangling.txt'))
    expect(await texts(join(folder, 'tree'))).toEqual(['a1', 'a2', 'b'])
  })

  test('a glob gives the files that match', async () => {
    expect(await texts(join(folder, 'tree/**/*.txt'))).toEqual(['a2', 'b'])
    expect(await texts(join(folder, 'tree/a/?.md'))).toEqual(['a1'])
  })

  test('a file that two sources name comes once, in the order of the sources', async () => {
    const sources = [join(folder, 'tree/b.txt'), join(folder, 'tree'), join(folder, 'tree/a/../b.txt')]
    expect(await texts(sources)).toEqual(['b', 'a1', 'a2'])
  })
})

describe('data that cannot be used', () => {
  test('is named before the first document, all at once', async () => {
    await mkdir(join(folder, 'bare'))
    const sources = [
      await write('bad/empty.txt', ''),
      join(folder, 'nowhere.txt'),
      join(folder, 'bare'),
      join(folder, 'bad/*.nothing'),
      await write('bad/picture.png', 'x'),
      await write('bad/table.parquet.gz', 'x'),
    ]
    const reading = read(sources)
    await expect(reading).rejects.toThrow(DataError)
    await expect(reading).rejects.toThrow(
      new RegExp(
        [
          '6 problems with the data',
          'empty.txt: is empty',
          'nowhere.txt: no such file or folder; relative paths start at',
          'bare: is an empty folder',
          '\\*.nothing: no file matches this glob',
          'picture.png: this kind of file is not read; read are .txt, .md',
          'table.parquet.gz: this kind of file is not read',
        ].join('[^]*'),
      ),
    )
  })

  test.each<[string, Uint8Array | string, RegExp]>([
    [
      'latin1.txt',
      Buffer.from('caf\xe9 au lait', 'latin1'),
      /latin1\.txt: is not UTF-8 text: invalid byte at offset 3/,
    ],
    [
      'late.txt',
      Buffer.concat([Buffer.from('é'.repeat(3_000_000)), Buffer.of(0xff)]),
      /invalid byte at offset 6000000;/,
    ],
    ['cut.txt', Buffer.of(0x61, 0xe2, 0x82), /cut\.txt: is not UTF-8 text: invalid byte at offset 1/],
    ['nul.txt', 'a\0b', /nul\.txt: is not text: it has a NUL byte at offset 1/],
    ['utf16.txt', Buffer.from('\ufeffhello', 'utf16le'), /is UTF-16, not UTF-8; convert it: iconv/],
    ['latin1.jsonl', Buffer.from('{"text":"caf\xe9"}', 'latin1'), /latin1\.jsonl: is not UTF-8 text/],
    ['latin1.csv', Buffer.from('text\ncaf\xe9\n', 'latin1'), /latin1\.csv: is not UTF-8 text/],
    ['not.txt.gz', 'plain text', /not\.txt\.gz: cannot be read: incorrect header check/],
    ['not.txt.zst', 'plain text', /not\.txt\.zst: cannot be read: invalid zstd data/],
    ['not.parquet', 'plain text '.repeat(99), /not\.parquet: cannot be read: No magic bytes/],
    ['missing.jsonl', '{"body":"a","title":"b"}\n', /no column 'text'; its columns are: body, title\./],
    ['missing.csv', 'body,title\na,b\n', /no column 'text'; its columns are: body, title\./],
    ['number.jsonl', '{"text":1}\n{"text":2}\n', /column 'text' holds BIGINT, not text/],
    ['nested.jsonl', '{"text":{"a":1}}\n', /column 'text' holds STRUCT/],
    ['list.jsonl', '{"text":["a"]}\n', /column 'text' holds VARCHAR\[\], not text/],
    ['plain.jsonl', 'just text\n', /plain\.jsonl: cannot be read: Malformed JSON .* in line 1/],
    ['scalars.jsonl', '"a"\n"b"\n', /scalars\.jsonl: cannot be read: .*expected records/],
  ])('%s', async (name, contents, message) => {
    const reading = read(await write(`bad/${name}`, contents))
    await expect(reading).rejects.toThrow(DataError)
    await expect(reading).rejects.toThrow(message)
  })

  test('a malformed row is named with its line when it is reached', async () => {
    const good = Array.from({ length: 5000 }, (_, i) => `{"text":"line ${i + 1}"}`)
    const bad = await write('bad/row.jsonl', [...good, '{"text": oops}', '{"text":"z"}'].join('\n'))
    await expect(read(bad)).rejects.toThrow(/row\.jsonl: cannot be read: .* in line 5001/)
    const quote = await write('bad/quote.csv', 'id,text\n1,a\n2,"never closed\n')
    await expect(read(quote)).rejects.toThrow(/quote\.csv: cannot be read: line 3: Value with unterminated quote/)
    const wide = await write('bad/wide.csv', 'id,text\n1,a,b\n')
    await expect(read(wide)).rejects.toThrow(
      /wide\.csv: cannot be read: line 2: Expected Number of Columns: 2 Found: 3/,
    )
  })

  test('compressed text that goes bad later is named when it is reached', async () => {
    const whole = gzipSync(Buffer.from('some text that does not repeat '.repeat(200_000)))
    const path = await write('bad/short.txt.gz', whole.subarray(0, whole.length - 20))
    await expect(read(path)).rejects.toThrow(/short\.txt\.gz: cannot be read: unexpected end of file/)
    const late = Buffer.concat([Buffer.from('a'.repeat(3_000_000)), Buffer.of(0xff)])
    await expect(read(await write('bad/late.txt.gz', gzipSync(late)))).rejects.toThrow(
      /late\.txt\.gz: is not UTF-8 text/,
    )
  })

  test('nothing at all', async () => {
    await expect(read([])).rejects.toThrow(/no data given/)
    await expect(read([''])).rejects.toThrow(/'': no such file or folder/)
  })

  test('a file that the user may not read', async () => {
    const path = await write('bad/locked.txt', 'x')
    const isRoot = process.getuid?.() === 0 // root reads everything: then the claim is that it does
    execFileSync('chmod', ['000', path])
    if (isRoot) expect(await texts(path)).toEqual(['x'])
    else await expect(read(path)).rejects.toThrow(/locked\.txt: cannot be read: EACCES/)
  })
})

describe('large files', () => {
  test('are read at constant memory', async () => {
    const path = join(folder, 'large.jsonl')
    const file = createWriteStream(path)
    const line = `${JSON.stringify({ text: 'The quick brown fox jumps over the lazy dog. '.repeat(100) })}\n`
    for (let i = 0; i < 40_000; i++) if (!file.write(line)) await once(file, 'drain')
    await new Promise<void>((resolve) => file.end(resolve)) // 180 MB
    let count = 0
    let early = 0
    let late = 0
    for await (const document of readDocuments(path)) {
      expect(document.index).toBe(count++)
      if (count % 1000 !== 0) continue
      if (count <= 20_000) early = Math.max(early, process.memoryUsage.rss())
      else late = Math.max(late, process.memoryUsage.rss())
    }
    expect(count).toBe(40_000)
    expect(late - early).toBeLessThan(60e6) // while 90 MB go by
  })

  test('of one text document come in parts', async () => {
    const text = 'The quick brown fox jumps over the lazy dog.\n'.repeat(100_000)
    const documents = await read(await write('large.txt', text))
    expect(documents.length).toBeGreaterThan(3)
    expect(documents.map(({ part }) => part)).toEqual(documents.map((_, i) => i))
    expect(documents.map((document) => document.text).join('')).toBe(text)
  })

  test('can be left in the middle, by break and by signal', async () => {
    for await (const { text } of readDocuments(join(folder, 'large.jsonl'))) {
      expect(text).toMatch(/^The quick/)
      break
    }
    const controller = new AbortController()
    const reading = (async () => {
      for await (const { index } of readDocuments(join(folder, 'large.jsonl'), { signal: controller.signal })) {
        if (index === 10) controller.abort(new Error('stop here'))
      }
    })()
    await expect(reading).rejects.toThrow('stop here')
  })
})
