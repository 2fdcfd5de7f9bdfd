// A process for tests of groups: it runs the functions that the test sends it and answers with what they return.
// `shared` is what one function leaves for the next.
import { register } from 'tsx/esm/api'

register()
const torch = await import('../../src/index.ts')
torch.setNumThreads(1)
const shared = {}
globalThis.__name = (f) => f
process.on('message', async ({ id, source, args }) => {
  try {
    const run = new Function('torch', 'shared', `return (${source})`)(torch, shared)
    process.send({ id, value: await run(...args) })
  } catch (error) {
    const { name, message, peers, operation, seconds, remedy } = error
    process.send({ id, error: { name, message, peers, operation, seconds, remedy } })
  }
})
process.on('disconnect', () => process.exit(0))
process.send({ id: 0 })
