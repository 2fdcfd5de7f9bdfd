// Damages a file at random, as a function of a seed: bits, numbers that are edges, parts left out, doubled or moved.

/** mulberry32: small, fast, and the same everywhere. */
export function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

const EDGES = [
  0n,
  1n,
  2n,
  7n,
  255n,
  256n,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  2n ** 53n,
  2n ** 62n,
  2n ** 63n,
  2n ** 64n - 1n,
]
const TEXTS = ['"', '{', '[', ']', ',', ':', '-1', '1e999', 'null', '\\ud800', '__proto__', '99999999999999999999']

type Random = (below: number) => number

function changed(file: Buffer, other: Buffer, random: Random): Buffer {
  const at = random(file.length + 1)
  const length = Math.min(file.length - at, 1 + random(random(4) === 0 ? 4096 : 16))
  switch (random(9)) {
    case 0:
      if (at < file.length) file[at]! ^= 1 << random(8)
      return file
    case 1:
      if (at < file.length) file[at] = random(256)
      return file
    case 2:
    case 3: {
      const width = [1, 2, 4, 8][random(4)]!
      const edge = EDGES[random(EDGES.length)]!
      for (let i = 0; i < width && at + i < file.length; i++) file[at + i] = Number((edge >> BigInt(8 * i)) & 255n)
      return file
    }
    case 4:
      return Buffer.concat([file.subarray(0, at), file.subarray(at + length)])
    case 5:
      return Buffer.concat([file.subarray(0, at), file.subarray(at, at + length), file.subarray(at)])
    case 6:
      return file.subarray(0, at)
    case 7:
      return Buffer.concat([file.subarray(0, at), Buffer.from(TEXTS[random(TEXTS.length)]!), file.subarray(at)])
    default: {
      const from = random(other.length)
      return Buffer.concat([file.subarray(0, at), other.subarray(from, from + length), file.subarray(at + length)])
    }
  }
}

/** One of the files, with one to six changes; most of them near its beginning, where formats keep their rules. */
export function mutated(files: readonly Buffer[], seed: number): Buffer {
  const random = randomOf(seed)
  let file = Buffer.from(files[random(files.length)]!)
  for (let changes = 1 + random(6); changes > 0; changes--) {
    const head = random(4) > 0 ? Math.min(file.length, 1 + random(2048)) : file.length
    const rest = file.subarray(head)
    file = Buffer.concat([changed(Buffer.from(file.subarray(0, head)), files[random(files.length)]!, random), rest])
  }
  return file
}
