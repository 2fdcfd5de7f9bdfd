// Groups of real processes on loopback: every operation against the plain result, and what members see when one of them
// is lost, late, or asks for something else.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ProcessGroup, RendezvousServer, tensor, type Tensor } from '../../src/index.js'
import { everywhere, Members } from './members.js'

const members = new Members()
beforeAll(() => members.take(4))
afterAll(() => members.end())

describe.runIf(ProcessGroup.available)('a group', () => {
  test.each([2, 3])('of %i members: each operation gives the plain result, for every dtype and shape', async (size) => {
    const group = await members.joined(size)
    const results = await everywhere(group, async (rank) => {
      const { group } = shared
      const wrong: string[] = []
      const check = (name: string, got: Tensor, expected: Tensor) => {
        if (got.dtype !== expected.dtype || !torch.equal(got, expected)) wrong.push(name)
      }
      const ranks = Array.from({ length: group.size }, (_, i) => i)
      const dtypes = ['float32', 'float64', 'float16', 'bfloat16', 'int8', 'int16', 'int32', 'int64', 'uint8'] as const
      for (const dtype of dtypes)
        for (const shape of [[6], [6, 7], [66, 1, 3], [0, 4], [6001]]) {
          const name = `${dtype} [${shape.join()}]`
          // Small whole numbers: every order of summation gives the same.
          const of = (r: number) =>
            torch
              .arange(shape.reduce((a, b) => a * b, 1))
              .remainder(7)
              .add(r)
              .to(dtype)
              .reshape(shape)
          const sum = ranks.map(of).reduce((a, b) => a.add(b))
          const x = of(rank)
          await group.broadcast(x, 1)
          check(`broadcast ${name}`, x, of(1))
          const y = of(rank)
          await group.allReduce(y)
          check(`allReduce ${name}`, y, sum)
          const most = of(rank)
          await group.allReduce(most, { reduction: 'max' })
          check(`max ${name}`, most, of(group.size - 1))
          const z = of(rank)
          await group.sumInOrder(z)
          check(`sumInOrder ${name}`, z, sum)
          const all = await group.allGather(of(rank))
          all.forEach((part, r) => check(`allGather ${name}`, part, of(r)))
          const gathered = await group.gather(of(rank), 1)
          if ((gathered === undefined) !== (rank !== 1)) wrong.push(`gather ${name}`)
          gathered?.forEach((part, r) => check(`gather ${name}`, part, of(r)))
          if (shape[0]! % group.size === 0)
            check(
              `reduceScatter ${name}`,
              await group.reduceScatter(of(rank)),
              sum.chunk(group.size)[shape[0] === 0 ? 0 : rank]!,
            )
          const got = torch.zerosLike(x)
          const next = (rank + 1) % group.size
          const before = (rank + group.size - 1) % group.size
          await Promise.all([group.send(of(rank), next), group.receive(got, before)])
          check(`send ${name}`, got, of(before))
        }
      await group.barrier()
      await group.leave()
      return wrong
    })
    expect(results.flat()).toEqual([])
  })

  test('of one member works like the others', async () => {
    const server = await RendezvousServer.listen()
    const store = { host: '127.0.0.1', port: server.port }
    const group = await ProcessGroup.join({ store, rank: 0, size: 1, timeoutSeconds: 5, generation: 0 })
    const x = tensor([1, 2, 3])
    await group.sumInOrder(x)
    await group.allReduce(x)
    expect((await group.reduceScatter(x)).toArray()).toEqual([1, 2, 3])
    await group.leave()
    server.close()
  })

  test('sums in order: the same bits for 1, 2 and 4 members with aligned parts of 4 slots', async () => {
    const bits: string[] = []
    for (const size of [1, 2, 4]) {
      const group = await members.joined(size)
      const sums = await everywhere(group, async (rank) => {
        const { group } = shared
        const own = 4 / group.size
        // The last dimension does not divide by the members: their parts differ in length.
        const slot = (i: number) => torch.randn([33, 31], { generator: new torch.Generator(i) }).mul(10 ** i)
        const tree = (from: number, count: number): Tensor =>
          count === 1 ? slot(from) : tree(from, count / 2).add(tree(from + count / 2, count / 2))
        const sum = tree(rank * own, own)
        await group.sumInOrder(sum)
        await group.leave()
        return Buffer.from(new Uint8Array(sum.data().buffer)).toString('base64')
      })
      bits.push(...sums)
    }
    expect(bits).toHaveLength(7)
    expect(new Set(bits).size).toBe(1)
  })

  test('leaves this thread free while it waits', async () => {
    const group = await members.joined(2)
    const [ticks] = await everywhere(group, async (rank) => {
      let ticks = 0
      const timer = setInterval(() => ticks++, 5)
      if (rank === 1) await new Promise((done) => setTimeout(done, 200))
      await shared.group.barrier()
      clearInterval(timer)
      await shared.group.leave()
      return ticks
    })
    expect(ticks).toBeGreaterThan(5)
  })

  test('finishes what was asked for before it is left, and lets the others go on', async () => {
    const group = await members.joined(3)
    const results = await everywhere(group, async (rank) => {
      const x = torch.ones([1000])
      const asked = [shared.group.allReduce(x), shared.group.allReduce(x)]
      if (rank === 0) await shared.group.leave()
      await Promise.all(asked)
      const y = torch.ones([100_000]).mul(rank)
      if (rank === 1) await shared.group.send(y, 2)
      if (rank === 2) await shared.group.receive(y, 1)
      if (rank !== 0) await shared.group.leave()
      return [x.sum().item(), y.sum().item()]
    })
    expect(results).toEqual([
      [9000, 0],
      [9000, 100_000],
      [9000, 100_000],
    ])
  })
})

describe.runIf(ProcessGroup.available)('a group tells its members', () => {
  test('of different shapes, dtypes and operations, and goes on', async () => {
    const group = await members.joined(2)
    const results = await everywhere(group, async (rank) => {
      const { group } = shared
      const messages: string[] = []
      const expectFailure = (work: Promise<unknown>) =>
        work.catch((error: unknown) => messages.push((error as Error).message))
      await expectFailure(group.allReduce(torch.ones([2 + rank, 3])))
      await expectFailure(group.broadcast(torch.ones([4], { dtype: rank === 0 ? 'float32' : 'int32' }), 0))
      await expectFailure(rank === 0 ? group.barrier() : group.sumInOrder(torch.ones([1])))
      await expectFailure(rank === 0 ? group.send(torch.ones([2]), 1) : group.receive(torch.ones([3]), 0))
      const x = torch.ones([2])
      await group.allReduce(x)
      await group.leave()
      return [messages, x.toArray()] as const
    })
    const expected = [
      ['rank 1 calls allReduce (sum) of float32 [3, 3], this member (rank 0) allReduce (sum) of float32 [2, 3]'],
      ['rank 1 calls broadcast from rank 0 of int32 [4]', 'broadcast from rank 0 of float32 [4]'],
      ['rank 1 calls sumInOrder of float32 [1], this member (rank 0) barrier'],
      ['rank 1 has room for float32 [3], this member sends float32 [2]'],
    ]
    const [messages] = results[0]!
    expect(messages).toHaveLength(4)
    expected.forEach((parts, i) => parts.forEach((part) => expect(messages[i]).toContain(part)))
    expect(results[1]![0]).toHaveLength(4)
    expect(results.map(([, x]) => x)).toEqual([
      [2, 2],
      [2, 2],
    ])
  })

  test('of a tensor that no group can take', async () => {
    const [member] = await members.joined(1)
    const messages = await member!.run(async () => {
      const said: string[] = []
      for (const work of [
        () => shared.group.allReduce(torch.ones([2, 3]).transpose(0, 1)),
        () => shared.group.allReduce(torch.ones([2], { dtype: 'bool' })),
        () => shared.group.broadcast(torch.ones([2]), 1),
        () => shared.group.send(torch.ones([2]), 0),
      ])
        await work().catch((error: unknown) => said.push((error as Error).message))
      await shared.group.leave()
      await shared.group.barrier().catch((error: unknown) => said.push((error as Error).message))
      return said
    })
    const parts = [
      'not contiguous',
      'booleans have no sum',
      'the root is rank 1',
      'no other member has rank 0',
      'it was left',
    ]
    expect(messages).toHaveLength(parts.length)
    parts.forEach((part, i) => expect(messages[i]).toContain(part))
  })

  test('within a second which of them was killed in the middle of an operation', async () => {
    const group = await members.joined(4)
    const work = async () => {
      for (;;) await shared.group.allReduce(torch.ones([300_000]))
    }
    const failures = Promise.all(group.map((member) => member.failure(work)))
    await new Promise((done) => setTimeout(done, 150))
    const killed = Date.now()
    await group[3]!.end()
    const errors = (await failures).slice(0, 3)
    expect(Date.now() - killed).toBeLessThan(1000)
    for (const error of errors) expect(error).toMatchObject({ name: 'CommError', operation: 'allReduce' })
    // Whom the kernel tells late may hear first from another survivor, which is then all that it knows.
    expect(errors.map(({ peers }) => peers)).toContainEqual([3])
    const later = await group[0]!.failure(async () => shared.group.barrier())
    expect(later.message).toContain('the group is over: rank')
  })

  test('after the timeout which of them stands still', async () => {
    const group = await members.joined(2, 0.5)
    group[1]!.process.kill('SIGSTOP')
    const error = await group[0]!.failure(async () => shared.group.barrier())
    group[1]!.process.kill('SIGCONT')
    expect(error).toMatchObject({ name: 'CommError', operation: 'barrier', peers: [1] })
    expect(error.message).toContain('no sign of rank 1 for 500 ms')
    expect(error.seconds).toBeGreaterThan(0.45)
    // The one that stood still learns that the others gave it up.
    const own = await group[1]!.failure(async () => shared.group.barrier())
    expect(own.message).toContain('rank 0 has waited for this member in vain')
  })

  test('of an abort, at once, here and in the others', async () => {
    const group = await members.joined(3)
    const results = await everywhere(group, async (rank) => {
      const started = Date.now()
      // The third is not waiting for anything when it happens.
      if (rank === 2) await new Promise((done) => setTimeout(done, 200))
      if (rank === 0) setTimeout(() => shared.group.abort('the test says so'), 50)
      const error = await shared.group.barrier().catch((error: unknown) => error as Error)
      return [(error as Error).message, Date.now() - started] as const
    })
    const [own, ...others] = results
    expect(own![0]).toContain('the test says so')
    for (const [message] of others) expect(message).toContain('rank 0 is gone')
    for (const [, milliseconds] of results) expect(milliseconds).toBeLessThan(1000)
  })

  test('of its end when the process ends in the middle', async () => {
    const [first, second] = await members.joined(2)
    const pending = first!.failure(async () => shared.group.barrier())
    const started = Date.now()
    await second!.run(() => {
      void shared.group.send(torch.ones([1000]), 0)
      setTimeout(() => process.exit(7), 20)
    })
    expect(await pending).toMatchObject({ name: 'CommError', peers: [1] })
    expect(Date.now() - started).toBeLessThan(2000)
    expect(second!.process.exitCode ?? 7).toBe(7)
  })
})
