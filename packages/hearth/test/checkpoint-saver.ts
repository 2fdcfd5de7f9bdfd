// A process to be killed: saves one checkpoint after another into the folder it is given, prunes, and prints the step of
// each that was acknowledged. All elements of a state are its step, so that a mixture of two states shows.
import { full } from '@hearth/torch'
import { prune, realStorage, saveCheckpoint } from 'hearth/checkpoint'

const [dir = '', first = ''] = process.argv.slice(2)
for (let step = Number(first); ; step++) {
  const tensors = { a: full([200_000], step), b: full([300_000], step) }
  await saveCheckpoint(realStorage, dir, { step, tensors, meta: { step }, shardBytes: 1e6, blockBytes: 65_536 })
  console.log(step)
  await prune(realStorage, dir, { keepLast: 2 })
}
