// The program that `hearth doctor --hosts` starts on each host: says what is there, and measures its way to the others
// when asked. A question is a line of JSON on stdin, from the one who started it, an answer a line on stdout. It ends with
// its stdin.
import { readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { torchVersion } from '@hearth/torch'
import { identityOf } from 'hearth/train'
import { LinkServer, measureLink, type Link, type LinkAddress } from './link.js'

/** What is asked of a host. */
export type Question =
  | {
      kind: 'begin'
      address: string
      port: number
      secret: string
      folder: string
      run?: string
      etcd: readonly string[]
    }
  | { kind: 'time' }
  | { kind: 'link'; to: LinkAddress }
  | { kind: 'storage'; shared: string; content: string; own: string }

/** What is there. Sizes in bytes; undefined where the system does not say. */
export interface Facts {
  hearth: string
  libtorch: string
  node: string
  /** Of the run, with its versions. */
  configuration?: string
  memory: number
  sharedMemory: number | undefined
  disk: number | undefined
  link?: LinkAddress
  problems: string[]
}

export type Answer =
  | { kind: 'begin'; facts: Facts }
  | { kind: 'time'; now: number }
  | { kind: 'link'; link: Link }
  /** Why it does not see the file, or cannot write its own. */
  | { kind: 'storage'; problem?: string }
  | { kind: 'failed'; reason: string }

const ETCD_MILLISECONDS = 5000
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

let server: LinkServer | undefined
let secret = ''
let own: string | undefined

function freeIn(folder: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(folder)
    return bavail * bsize
  } catch {
    return undefined
  }
}

async function attempt<T>(problems: string[], what: string, run: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await run()
  } catch (error) {
    problems.push(`${what}: ${(error as Error).message}`)
    return undefined
  }
}

async function begin({ address, port, folder, run, etcd, ...asked }: Extract<Question, { kind: 'begin' }>) {
  secret = asked.secret
  const problems: string[] = []
  server = await attempt(problems, 'meeting', () => LinkServer.listen(address, port, secret))
  const configuration = run === undefined ? undefined : await attempt(problems, 'the run', () => identityOf(run))
  for (const endpoint of etcd)
    await attempt(problems, 'etcd', async () => {
      const { ok, status } = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(ETCD_MILLISECONDS) })
      if (!ok) throw new Error(`${endpoint} answers ${status}`)
    })
  const facts: Facts = {
    ...{ hearth: version, libtorch: torchVersion(), node: process.version, problems },
    ...{ memory: process.availableMemory(), sharedMemory: freeIn('/dev/shm'), disk: freeIn(folder) },
    ...(configuration !== undefined && { configuration }),
    ...(server && { link: server.at }),
  }
  return { kind: 'begin', facts } as const
}

/** Whether it sees what another host wrote; and writes for that one to see. */
function storage({ shared, content, own: file }: Extract<Question, { kind: 'storage' }>): Answer {
  try {
    writeFileSync(file, content)
    own = file
    return readFileSync(shared, 'utf8') === content
      ? { kind: 'storage' }
      : { kind: 'storage', problem: 'other content' }
  } catch (error) {
    return { kind: 'storage', problem: (error as Error).message }
  }
}

async function answer(question: Question): Promise<Answer> {
  switch (question.kind) {
    case 'begin':
      return await begin(question)
    case 'time':
      return { kind: 'time', now: Date.now() }
    case 'link':
      return { kind: 'link', link: await measureLink(question.to, secret) }
    case 'storage':
      return storage(question)
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const said = await answer(JSON.parse(line) as Question).catch((error: unknown): Answer => ({
    kind: 'failed',
    reason: (error as Error).message,
  }))
  process.stdout.write(`${JSON.stringify(said)}\n`)
}
server?.close()
if (own !== undefined) rmSync(own, { force: true })
