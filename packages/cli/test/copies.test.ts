// Copies as their user meets them: a run that is lost with its folder comes back from another place, on the command line.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { hearth } from './hearth.js'
import { tinyRun } from './tiny-run.js'

let cwd: string
beforeAll(() => {
  cwd = mkdtempSync(join(tmpdir(), 'hearth-copies-'))
})
afterAll(() => rmSync(cwd, { recursive: true }))

const run = (args: string[], env = {}) => hearth(args, { cwd, env })

test('a run whose folder is lost goes on from the place it was copied to', async () => {
  const trained = await run(tinyRun('lost', 'copies.0.to=disk'))
  expect(trained.stderr).toMatch(/step 12: copied to .*\/disk\/lost in \d/)
  expect(trained.code).toBe(0)
  const model = readFileSync(join(cwd, 'runs/lost/model/model.safetensors'))
  rmSync(join(cwd, 'runs'), { recursive: true })
  const resumed = await run(['resume', 'lost', '--from', 'disk/lost'])
  expect(resumed.stderr).toMatch(/Brought back step 12, from .*\/disk\/lost\/checkpoints\/step-00000012/)
  expect(resumed.code).toBe(0)
  expect(readFileSync(join(cwd, 'runs/lost/model/model.safetensors')).equals(model)).toBe(true)
})

test('what is wrong with a place is one clean error', async () => {
  const secrets = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' }
  const cases = [
    run(['resume', 'x', '--from', 'nowhere']),
    run(['resume', 's3:/x']),
    run(['resume', 's3://none/x', '--endpoint', 'http://127.0.0.1:1'], secrets),
  ]
  const [none, odd, refused] = await Promise.all(cases)
  expect(none!.stderr).toMatch(/^error: .*nowhere holds no run: it has no config\.json\n +remedy: /m)
  expect(odd!.stderr).toMatch(/^error: s3:\/x is not of the form s3:\/\/bucket\/prefix/m)
  expect(refused!.stderr).toMatch(
    /^error: s3:\/\/none\/x cannot be used: the server refuses the connection.*\n +remedy: /m,
  )
  expect([none, odd, refused].map((each) => [each!.code, each!.stdout])).toEqual(Array(3).fill([1, '']))
  expect((await run(['resume', 'x', '--endpoint', 'http://127.0.0.1:1'])).code).toBe(2)
})
