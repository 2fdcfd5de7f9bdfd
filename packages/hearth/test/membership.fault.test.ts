// Members over real stores and real connections: with the store that every host serves, and with a real etcd where the
// machine has one (Debian: etcd-server). Hosts are addresses of the loopback network.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ProcessGroup, tensor, type CommError } from '@hearth/torch'
import { afterEach, describe, expect, test } from 'vitest'
import { EmbeddedServer, EmbeddedStore, EtcdStore, Member, MemberEnd } from 'hearth/cluster'
import type { Formed, MembershipStore } from 'hearth/cluster'

const HOSTS = ['a', 'b', 'c']
const ADDRESSES = ['127.0.0.1', '127.0.0.2', '127.0.0.3']
const SECRET = 'a secret of the tests, long enough'

const hasEtcd = spawnSync('etcd', ['--version']).status === 0
if (!hasEtcd) console.info('no etcd on this machine: its tests are skipped (Debian: apt-get install etcd-server)')

const opened: { close(): unknown }[] = []
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
})
function closing<T extends { close(): unknown }>(one: T): T {
  opened.push(one)
  return one
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** Gives a store for each host. */
type Stores = () => Promise<(host: number) => Promise<MembershipStore>>

const embedded: Stores = async () => {
  const port = await freePort()
  const addresses = ADDRESSES.map((host) => ({ host, port, secret: SECRET }))
  return async (host) => {
    const server = closing(await EmbeddedServer.listen(addresses[host]!))
    const store = new EmbeddedStore(addresses)
    const close = store.close.bind(store)
    // As with a machine: its store goes with it.
    store.close = () => {
      server.close()
      close()
    }
    return store
  }
}

const etcd: Stores = async () => {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-etcd-'))
  const [client, peer] = [await freePort(), await freePort()].map((port) => `http://127.0.0.1:${port}`) as [
    string,
    string,
  ]
  const args = ['--data-dir', folder, '--listen-client-urls', client, '--advertise-client-urls', client]
  const cluster = [
    '--listen-peer-urls',
    peer,
    '--initial-advertise-peer-urls',
    peer,
    '--initial-cluster',
    `default=${peer}`,
  ]
  const child = spawn('etcd', [...args, ...cluster], { stdio: 'ignore' })
  closing({
    close: async () => {
      child.kill('SIGKILL')
      await once(child, 'exit')
      rmSync(folder, { recursive: true, force: true })
    },
  })
  for (;;) {
    const healthy = await fetch(`${client}/health`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (healthy) break
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  // The first endpoint is none: the next one is asked then.
  const endpoints = [`http://127.0.0.1:${await freePort()}`, client]
  return () => Promise.resolve(new EtcdStore({ endpoints, prefix: '/hearth/test' }))
}

async function startMember(storeOf: Awaited<ReturnType<Stores>>, host: number, identity = 'run'): Promise<Member> {
  const at = { name: HOSTS[host]!, address: ADDRESSES[host]!, identity }
  return closing(new Member({ ...at, hosts: HOSTS, minimum: 1, settleSeconds: 20, store: await storeOf(host) }))
}

/** Adds up 1, 2, 4 over the hosts that are in the group. */
async function sumOf({ group, generation, rank }: Formed): Promise<number> {
  const mine = tensor([2 ** HOSTS.indexOf(generation.members[rank]!.name)])
  await group.sumInOrder(mine)
  return mine.item()
}

describe.skipIf(!ProcessGroup.available).each([
  ['the store of every host', embedded, false],
  ['etcd', etcd, !hasEtcd],
])('members over %s', (_, stores, skipped) => {
  test.skipIf(skipped)(
    'form a group, go on without one that is lost within 5 s, and take it in when it is back',
    async () => {
      const storeOf = await stores()
      const members = await Promise.all(HOSTS.map((_, host) => startMember(storeOf, host)))
      const formed = await Promise.all(members.map((member) => member.group()))
      expect(await Promise.all(formed.map(sumOf))).toEqual([7, 7, 7])
      members.forEach((member) => member.worked())

      // The first host goes: with the embedded store, so does the store that counted.
      const lost = performance.now()
      const others = formed.slice(1).map(({ group }) => group.barrier().catch((error: unknown) => error))
      opened.splice(opened.indexOf(members[0]!), 1)
      formed[0]!.group.abort('it is pulled out')
      await members[0]!.close()
      const errors = await Promise.all(others)
      errors.forEach((error, i) => members[i + 1]!.broke(error as CommError))
      const two = await Promise.all(members.slice(1).map((member) => member.group()))
      expect((performance.now() - lost) / 1000).toBeLessThan(5)
      expect(await Promise.all(two.map(sumOf))).toEqual([6, 6])

      const back = await startMember(storeOf, 0)
      while (!members.slice(1).every(({ isDue }) => isDue)) await new Promise((resolve) => setTimeout(resolve, 20))
      await Promise.all(members.slice(1).map((member) => member.leave()))
      const three = await Promise.all([back, ...members.slice(1)].map((member) => member.group()))
      expect(await Promise.all(three.map(sumOf))).toEqual([7, 7, 7])

      await back.finish()
      const ends = three.map(({ group }) => group.receive(tensor([0]), 0).catch(() => 'ended'))
      expect(await Promise.all(ends.slice(1))).toEqual(['ended', 'ended'])
      await expect(members[1]!.group()).rejects.toThrow('the run is done')
    },
  )

  test.skipIf(skipped)('of another version or configuration are refused, and say so', async () => {
    const storeOf = await stores()
    const members = await Promise.all([0, 1].map((host) => startMember(storeOf, host)))
    const stranger = await startMember(storeOf, 2, 'another run')
    void Promise.all(members.map((member) => member.group())).catch(() => undefined)
    await expect(stranger.group()).rejects.toThrow(MemberEnd)
  })
})
