import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { measureCompression, measureOwnCompression } from './compression.js'

const text = Buffer.from(Array.from({ length: 4000 }, (_, i) => `line ${i * i} of the text\n`).join(''))

function installed(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: ['ignore', 'ignore', 'ignore'], input: '' })
    return true
  } catch {
    return false
  }
}

test.skipIf(!installed('xz'))('xz is measured by running it', async () => {
  const size = execFileSync('xz', ['-9e', '-c'], { input: text }).length
  const xz = (await measureCompression(text)).find(({ name }) => name === 'xz -9e')
  expect(xz?.bitsPerByte).toBe((8 * size) / text.length)
})

test('without the programs Node’s own compression is measured, under its own name', async () => {
  const before = process.env.PATH
  process.env.PATH = '/nowhere'
  try {
    const measured = await measureCompression(text)
    expect(measured).toEqual(measureOwnCompression(text))
    expect(measured.map(({ name }) => name)).toEqual(['gzip -9', 'brotli -q 11'])
    for (const { bitsPerByte } of measured) expect(bitsPerByte).toBeLessThan(4)
  } finally {
    process.env.PATH = before
  }
})
