/**
 * A pseudo-random order of any number of things, one place at a time: no list in memory, any place in the same time.
 * A Feistel network over the next power of four, walked until it falls inside.
 * Source: Black & Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002 (cycle walking).
 */
import { philox } from '../counter-random.js'
import type { Words2 } from '../counter-random.js'

const ROUNDS = 6

/**
 * The place of `index` in the order that a key stands for: a bijection of 0 … size - 1.
 *
 * @param size at most 2^52
 */
export function permute(index: number, size: number, key: Words2): number {
  const halfBits = Math.ceil(Math.log2(size) / 2)
  const half = 2 ** halfBits
  let place = index
  do {
    let left = Math.floor(place / half)
    let right = place % half
    for (let round = 0; round < ROUNDS; round++) {
      const mixed = left ^ (philox([right, round, halfBits, 0], key)[0] % half)
      left = right
      right = mixed
    }
    place = left * half + right
  } while (place >= size)
  return place
}
