// A real etcd on the loopback network, for tests. Only where the machine has one (Debian: etcd-server).
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'

/** What is missing for it; undefined when nothing is. */
export const etcdMissing = (): string | undefined =>
  spawnSync('etcd', ['--version']).status === 0 ? undefined : 'no etcd (Debian: apt-get install etcd-server)'

async function freeUrl(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return `http://127.0.0.1:${port}`
}

/** Resolves when it answers. */
export async function startEtcd(folder: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const [url, peer] = [await freeUrl(), await freeUrl()]
  const client = ['--listen-client-urls', url, '--advertise-client-urls', url]
  const cluster = ['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer]
  const args = ['--data-dir', folder, ...client, ...cluster, '--initial-cluster', `default=${peer}`]
  const child = spawn('etcd', args, { stdio: 'ignore' })
  const answers = () =>
    fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => false,
    )
  while (!(await answers())) await new Promise((resolve) => setTimeout(resolve, 50))
  const stop = async () => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  return { url, stop }
}
