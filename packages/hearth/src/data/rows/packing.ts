// Sequences into rows of a fixed length, so that little of a batch is padding. Best fit, the longest first (Johnson 1973):
// what comes out is a function of the lengths alone.

/**
 * The sequences that share a row, row by row.
 * @param lengths of each sequence; longer ones than a row count as a whole row
 * @param rowLength that the lengths of a row add up to at most
 */
export function packSequences(lengths: readonly number[], rowLength: number): number[][] {
  const longestFirst = lengths.map((_, i) => i).sort((a, b) => lengths[b]! - lengths[a]! || a - b)
  const rows: number[][] = []
  /** Rows by the room that is left in them. */
  const byRoom: number[][] = Array.from({ length: rowLength + 1 }, () => [])
  for (const sequence of longestFirst) {
    const length = Math.min(lengths[sequence]!, rowLength)
    let room = length
    while (room <= rowLength && byRoom[room]!.length === 0) room++
    const row = room <= rowLength ? byRoom[room]!.pop()! : rows.push([]) - 1
    rows[row]!.push(sequence)
    byRoom[(room <= rowLength ? room : rowLength) - length]!.push(row)
  }
  return rows
}
