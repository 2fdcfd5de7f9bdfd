// Plain tables for people: columns of equal width, numbers to the right. Tools get --json.

/** Rows under an optional head, indented by two spaces; a column is right-aligned when all its cells are numbers. */
export function table(rows: readonly (readonly string[])[], head?: readonly string[]): string {
  const all = head ? [head, ...rows] : rows
  const columns = Math.max(0, ...all.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0)))
  const numeric = widths.map((_, i) => rows.length > 0 && rows.every((row) => /^[\d.,%+-]*$/.test(row[i] ?? '')))
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (numeric[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join('  ')
  return all.map((row) => `  ${line(row)}`.trimEnd()).join('\n')
}
