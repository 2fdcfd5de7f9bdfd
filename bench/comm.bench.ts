// Sums between two processes on loopback: an all-reduce of 100 MB, the same in a fixed order, and the least that any
// operation takes. The sides take turns; both processes share the cores.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { ones, ProcessGroup, RendezvousServer, setNumThreads } from '@hearth/torch'
import { alternate, printTable, writeResult } from './measure.js'

const ROUNDS = 15
const BARRIERS = 100
const ELEMENTS = 25_000_000

async function sidesOf(group: ProcessGroup) {
  const x = ones([ELEMENTS])
  const timed =
    (work: () => Promise<void>, times = 1) =>
    async () => {
      const start = performance.now()
      for (let i = 0; i < times; i++) await work()
      return (performance.now() - start) / times
    }
  await group.barrier()
  return {
    'allReduce, 100 MB': timed(() => group.allReduce(x)),
    'sumInOrder, 100 MB': timed(() => group.sumInOrder(x)),
    'broadcast, 100 MB': timed(() => group.broadcast(x, 0)),
    barrier: timed(() => group.barrier(), BARRIERS),
  }
}

setNumThreads(1)
const port = process.env.HEARTH_BENCH_PORT
const server = port === undefined ? await RendezvousServer.listen() : undefined
const child =
  server && fork(fileURLToPath(import.meta.url), { env: { ...process.env, HEARTH_BENCH_PORT: String(server.port) } })
const group = await ProcessGroup.join({
  store: { host: '127.0.0.1', port: server?.port ?? Number(port) },
  rank: server ? 0 : 1,
  size: 2,
  timeoutSeconds: 60,
  generation: 0,
})
const times = await alternate(await sidesOf(group), { rounds: ROUNDS, warmup: 3 })
await group.leave()
if (child) {
  await once(child, 'exit')
  server.close()
  printTable(
    ['two processes on loopback, ms', 'median', 'from', 'to'],
    Object.entries(times).map(([name, time]) => [name, time.median, time.low, time.high]),
  )
  writeResult(
    'comm',
    { elements: ELEMENTS, times },
    Object.entries(times).map(([name, time]) => ({ what: `two processes, ${name}`, unit: 'ms', hearth: time.median })),
  )
}
