// How a group forms, and every way in which it does not: members that never come, strangers, wrong secrets.
import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { CommError, ConfigError, ones, ProcessGroup, RendezvousServer, type Rendezvous } from '../../src/index.js'

/** A directory in this process's memory; `seen` is told of every value. */
function directory(seen: (key: string, value: Buffer) => void = () => undefined): Rendezvous {
  const values = new Map<string, Uint8Array>()
  const waiting = new Map<string, ((value: Uint8Array) => void)[]>()
  return {
    set: (key, value) => {
      seen(key, Buffer.from(value))
      values.set(key, value)
      for (const resolve of waiting.get(key) ?? []) resolve(value)
      return Promise.resolve()
    },
    get: (key) =>
      new Promise((resolve) => {
        const known = values.get(key)
        if (known !== undefined) resolve(known)
        else waiting.set(key, [...(waiting.get(key) ?? []), resolve])
      }),
    close: () => undefined,
  }
}

/** Both members of a group in this process. */
const pair = (store: Rendezvous, generation = 0) =>
  Promise.all([0, 1].map((rank) => ProcessGroup.join({ store, rank, size: 2, timeoutSeconds: 5, generation })))

describe.runIf(ProcessGroup.available)('joining a group', () => {
  const secret = randomBytes(32).toString('hex')
  const options = { rank: 0, size: 2, timeoutSeconds: 0.4, generation: 0 }
  const failureOf = (work: Promise<unknown>) =>
    work.then(
      () => expect.unreachable(),
      (error: unknown) => error as CommError,
    )

  test('ends after the timeout and names who did not come', async () => {
    const server = await RendezvousServer.listen({ secret })
    const store = { host: '127.0.0.1', port: server.port, secret }
    const error = await failureOf(ProcessGroup.join({ ...options, size: 4, store }))
    expect(error).toBeInstanceOf(CommError)
    expect(error.peers).toEqual([1, 2, 3])
    expect(error.message).toContain('ranks 1, 2, 3 did not come')
    expect(error.seconds).toBeLessThan(1)
    server.close()
    const nobody = await failureOf(ProcessGroup.join({ ...options, store }))
    expect(nobody.message).toContain(`no rendezvous at 127.0.0.1:${store.port}`)
  })

  test('ends when a member dies between the greeting and the connection', async () => {
    const values = new Map<string, Uint8Array>()
    // Another member that greets, and never connects.
    const half = {
      set: (key: string, value: Uint8Array) => Promise.resolve(void values.set(key, value)),
      get: (key: string) =>
        key === '0/member/1'
          ? Promise.resolve(Buffer.from(`1 2 ${'0'.repeat(32)}`))
          : key === '0/member/0'
            ? Promise.resolve(values.get(key)!)
            : new Promise<Uint8Array>(() => undefined),
      close: () => undefined,
    }
    const error = await failureOf(ProcessGroup.join({ ...options, store: half }))
    expect(error.message).toContain('not all members connected in time')
    expect(error.seconds).toBeLessThan(1)
  })

  test('needs the secret of the run, and the rendezvous lets nobody else in', async () => {
    const server = await RendezvousServer.listen({ secret })
    const address = { host: '127.0.0.1', port: server.port }
    for (const store of [{ ...address, secret: randomBytes(32).toString('hex') }, address]) {
      const error = await failureOf(ProcessGroup.join({ ...options, store }))
      expect(error.message).toContain('it has another secret')
      expect(error.seconds).toBeLessThan(0.4)
    }
    // One that does not speak the protocol is hung up on.
    const stranger = connect(server.port, '127.0.0.1', () => stranger.write(randomBytes(4096)))
    await new Promise((closed) => stranger.on('error', closed).on('close', closed))
    server.close()
  })

  test('is not disturbed by strangers at the ports of its members', async () => {
    const strangers: Socket[] = []
    const store = directory((_, value) => {
      // An address with its token: family, port, ... as the system writes them.
      if (value.length < 100) return
      for (const said of [randomBytes(32), randomBytes(3), randomBytes(100_000), Buffer.alloc(0)]) {
        const stranger = connect(value.readUInt16BE(2), '127.0.0.1', () => stranger.write(said))
        strangers.push(stranger.on('error', () => undefined))
      }
    })
    const groups = await pair(store)
    expect(strangers).toHaveLength(8)
    const sums = await Promise.all(
      groups.map(async (group) => {
        const x = ones([5])
        await group.allReduce(x)
        return x.toArray()
      }),
    )
    expect(sums).toEqual([Array(5).fill(2), Array(5).fill(2)])
    await Promise.all(groups.map((group) => group.leave()))
    for (const stranger of strangers) stranger.destroy()
  })

  test('again and again leaves no threads and no connections behind, however the group ends', async () => {
    const count = () => ['task', 'fd'].map((kind) => readdirSync(`/proc/self/${kind}`).length)
    const store = directory()
    const once = async (generation: number) => {
      const [first, second] = await pair(store, generation)
      const failures = [first, second].map((group) => group!.allReduce(ones([1000])).catch(() => undefined))
      if (generation % 3 === 0) first!.abort()
      await Promise.all(failures)
      if (generation % 3 === 1) void first!.barrier().catch(() => undefined)
      await Promise.all([first!.leave(), second!.leave()])
    }
    for (let generation = 0; generation < 3; generation++) await once(generation)
    const before = count()
    for (let generation = 3; generation < 21; generation++) await once(generation)
    const after = count()
    after.forEach((number, i) => expect(number - before[i]!).toBeLessThanOrEqual(2))
  })

  test('refuses a rank that is taken, another size, and a generation that is over', async () => {
    const server = await RendezvousServer.listen()
    const store = { host: '127.0.0.1', port: server.port }
    const first = failureOf(ProcessGroup.join({ ...options, store }))
    await new Promise((done) => setTimeout(done, 50))
    expect((await failureOf(ProcessGroup.join({ ...options, store }))).message).toContain('another process has rank 0')
    const other = failureOf(ProcessGroup.join({ ...options, rank: 1, size: 3, store }))
    expect((await first).message).toContain('rank 1 joins a group of 3, this one of 2')
    expect((await other).message).toContain('rank 0 joins a group of 2, this one of 3')
    const newer = failureOf(ProcessGroup.join({ ...options, generation: 2, store }))
    await new Promise((done) => setTimeout(done, 50))
    expect((await failureOf(ProcessGroup.join({ ...options, rank: 1, generation: 1, store }))).message).toContain(
      'generation 1 of the group is over, 2 has begun',
    )
    await newer
    server.close()
  })

  test('checks its options first, all at once', async () => {
    const bad = { store: { host: '10.0.0.1', port: 1 }, rank: 2, size: 2, timeoutSeconds: 0, generation: -1 }
    const error = await failureOf(ProcessGroup.join(bad))
    expect(error).toBeInstanceOf(ConfigError)
    const { issues } = error as unknown as ConfigError
    expect(issues.map(({ path }) => path)).toEqual(['rank', 'generation', 'timeoutSeconds', 'store.secret'])
    await expect(RendezvousServer.listen({ host: '0.0.0.0' })).rejects.toThrow('it needs one')
    await expect(RendezvousServer.listen({ secret: 'short' })).rejects.toThrow('at least 16 bytes')
  })
})
