// Worker threads: each has tensors of its own, and none can bring the process down, however it ends.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { ones, scope } from '@hearth/torch'
import { describe, expect, test } from 'vitest'

const source = new URL('../src/index.ts', import.meta.url).href
// A worker does not inherit the loader for TypeScript.
/** Code of a worker, with the library as `torch` and the thread's port as `port`. */
const inWorker = (body: string) => `
  import('tsx/esm/api').then((tsx) => tsx.register()).then(() => import(${JSON.stringify(source)})).then((torch) => {
    const port = require('node:worker_threads').parentPort
    ${body}
  })`
const start = (body: string, workerData?: unknown) => new Worker(inWorker(body), { eval: true, workerData })

async function answerOf(worker: Worker): Promise<unknown> {
  const [answer] = (await once(worker, 'message')) as [unknown]
  await worker.terminate()
  return answer
}

const REPORT = `const answer = (run) => { try { return String(run()) } catch (error) { return error.name + ': ' + error.message } }`

describe('a worker thread', () => {
  test('computes with tensors of its own, gradients too', async () => {
    const worker = start(`
      const w = torch.ones([3]).setRequiresGrad(true)
      torch.backward(w.mul(torch.tensor([1, 2, 3])).sum())
      port.postMessage(w.grad.toArray())`)
    expect(await answerOf(worker)).toEqual([1, 2, 3])
  })

  test('cannot reach a tensor of another thread', async () => {
    const x = ones([3])
    const worker = start(
      `${REPORT}
      for (let i = 0; i < 50; i++) torch.keep(torch.ones([2]))
      const { workerData } = require('node:worker_threads')
      const stray = Object.assign(Object.create(torch.Tensor.prototype), { handle: workerData })
      port.postMessage(answer(() => stray.add(1)))`,
      x.handle,
    )
    expect(await answerOf(worker)).toMatch(/^DisposedError: /)
    expect(x.toArray()).toEqual([1, 1, 1])
    x.dispose()
  })

  test('has a scope of its own while this thread is in one', async () => {
    const worker = start(`port.postMessage(torch.scope(() => torch.ones([4]).sum().item()))`)
    const answer = answerOf(worker)
    scope(() => expect(ones([2]).add(1).toArray()).toEqual([2, 2]))
    expect(await answer).toBe(4)
  })

  test('may end at any instant with tensors, views, arrays and graphs alive', async () => {
    const body = `
      const hold = []
      port.postMessage('running')
      const step = () => {
        const w = torch.randn([64, 64]).setRequiresGrad(true)
        hold.push(w, w.matmul(w).sum(), torch.ones([1000]).data(), torch.zeros([100, 1000]).select(0, 1))
        setImmediate(step)
      }
      step()`
    for (let i = 0; i < 4; i++) {
      const worker = start(body)
      await once(worker, 'message')
      await new Promise((done) => setTimeout(done, 5 * i))
      await worker.terminate()
    }
    expect(scope(() => ones([100]).sum().item())).toBe(100)
  })

  test('may leave arrays of its tensors to this thread only as copies', async () => {
    const worker = start(`
      const data = torch.ones([3]).data()
      port.postMessage(data)`)
    expect(await answerOf(worker)).toEqual(Float32Array.of(1, 1, 1))
  })

  test('may be the only one that ever loads the library', () => {
    const script = `
      const { Worker } = require('node:worker_threads')
      const run = () => new Promise((done, failed) => {
        const worker = new Worker(${JSON.stringify(inWorker(`torch.backward(torch.ones([300, 300]).setRequiresGrad(true).matmul(torch.ones([300, 300])).sum())`))}, { eval: true })
        worker.on('error', failed).on('exit', done)
      })
      run().then(run).then((code) => console.log('ended', code))`
    expect(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }).trim()).toBe('ended 0')
  })
})
