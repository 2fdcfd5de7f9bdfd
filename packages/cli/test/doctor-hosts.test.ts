// `hearth doctor --hosts` through the real command: hosts are addresses of the loopback network, and --via is a script
// that cannot reach one of them.
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { hearth } from './hearth.js'

let cwd: string
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'hearth-doctor-'))
})
afterEach(() => rmSync(cwd, { recursive: true, force: true }))

interface Examination {
  hosts: { host: { name: string }; facts?: { libtorch: string; memory: number }; clock?: { seconds: number } }[]
  links: { from: string; to: string; link?: { latencySeconds: number; bytesPerSecond: number } }[]
  problems: { problem: string; remedy: string }[]
}

test('hosts that are sound are measured, each way between two of them, and nothing is left behind', async () => {
  const { code, stdout, stderr } = await hearth(['doctor', '--hosts', 'local:2', '--port', '7731', '--json'], { cwd })
  const { hosts, links, problems } = JSON.parse(stdout) as Examination
  expect([code, problems], stderr).toEqual([0, []])
  expect(hosts.map(({ host }) => host.name)).toEqual(['local-1', 'local-2'])
  for (const { facts, clock } of hosts) {
    expect(facts!.memory).toBeGreaterThan(0)
    expect(Math.abs(clock!.seconds)).toBeLessThan(1)
  }
  expect(links.map(({ from, to }) => `${from} ${to}`)).toEqual(['local-1 local-2', 'local-2 local-1'])
  for (const { link } of links) {
    expect(link!.bytesPerSecond).toBeGreaterThan(1e6)
    expect(link!.latencySeconds).toBeGreaterThan(0)
  }
  expect(readdirSync(cwd)).toEqual([])
})

test('everything that is wrong is said at once, in one table and below it', async () => {
  const taken = createServer().listen(7732, '127.0.0.2')
  await once(taken, 'listening')
  const via = join(cwd, 'reach')
  writeFileSync(via, '#!/bin/sh\n[ "$1" != gone ] || { echo "no route to $1" >&2; exit 255; }\nshift\nexec "$@"\n')
  chmodSync(via, 0o755)
  const hosts = 'a=127.0.0.1,b=127.0.0.2,gone=127.0.0.4'
  try {
    const line = ['doctor', '--hosts', hosts, '--via', `${via} {host}`, '--port', '7732']
    const { code, stdout } = await hearth(line, { cwd })
    expect(code).toBe(1)
    expect(stdout).toMatch(/host +address +Hearth/)
    expect(stdout).toMatch(/b: meeting: listen EADDRINUSE.*\n +remedy: another program has the port/)
    expect(stdout).toMatch(/gone cannot be reached: no route to gone/)
  } finally {
    taken.close()
  }
})
