import { statSync } from 'node:fs'
import { readDocuments } from 'hearth/data'
import { describe, expect, test } from 'vitest'
import { addresses, novel } from './quickstart-corpus.js'

describe.each([
  ['addresses', addresses, 233, 10_761_413, /^Fellow-Citizens of the Senate and House of Representatives/],
  ['novel', novel, 135, 1_192_750, /^CHAPTER 1\. Loomings\./],
])('the quickstart’s %s', (_, corpus, documents, bytes, start) => {
  test('are installed: files, glob and sizes agree', async () => {
    const { files, path } = corpus()
    expect(files).toHaveLength(documents)
    expect(files.reduce((sum, file) => sum + statSync(file).size, 0)).toBe(bytes)
    const found: string[] = []
    let first: string | undefined
    for await (const { source, text } of readDocuments(path)) {
      found.push(source)
      first ??= text
    }
    expect(found).toEqual(files)
    expect(first).toMatch(start)
  })
})
