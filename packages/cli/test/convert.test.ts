// `hearth convert` as a person runs it: the answer on stdout, refusals before any work.
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { fixture, hearth } from './hearth.js'

const root = mkdtempSync(join(tmpdir(), 'hearth-cli-convert-'))
afterAll(() => rmSync(root, { recursive: true }))

test('a folder becomes a GGUF file that inspect and score read, and says how far the logits are', async () => {
  const path = join(root, 'neox.gguf')
  const { code, stdout } = await hearth(['convert', fixture('gpt_neox'), path, '--dtype', 'q8_0'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/neox\.gguf: over 32 tokens the logits differ by at most 0\.0\d+/)
  const inspected = await hearth(['inspect', path])
  expect(inspected.stdout).toMatch(/general\.architecture\s+gptneox/)
  expect(inspected.stdout).toMatch(/blk\.0\.attn_qkv\.weight\s+\[\d+, \d+\]\s+Q8_0/)
})

test('what cannot be is refused with the words for it, and nothing is written', async () => {
  const out = join(root, 'none')
  const [dtype, flag, source] = await Promise.all([
    hearth(['convert', fixture('gpt2'), out, '--dtype', 'q4_k']),
    hearth(['convert', 'tokens', out, '--to', 'neox', '--dtype', 'q4_k']),
    hearth(['convert', join(root, 'nowhere'), out, '--to', 'gguf']),
  ])
  expect(dtype).toMatchObject({ code: 1, stderr: expect.stringMatching(/"q4_k" cannot be written to hf/) as string })
  expect(flag).toMatchObject({ code: 2, stderr: expect.stringMatching(/--dtype is for models/) as string })
  expect(source).toMatchObject({ code: 1, stderr: expect.stringMatching(/no such folder or file/) as string })
  expect(existsSync(out)).toBe(false)
})
