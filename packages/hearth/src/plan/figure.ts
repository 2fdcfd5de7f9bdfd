// A number of a plan that can say how it came about: the formula with this plan's numbers in it, and whose formula it is.

export interface Figure {
  name: string
  value: number
  unit: string
  /** The formula, filled in. */
  how: string
  /** The paper or measurement that it is from. */
  source: string
}

const SUFFIXES = ['', 'k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y'] as const

/** Three digits with a suffix of powers of 1000, for formulas: 82_432 → `82.4k`, 3.14e23 → `314Z`. */
export function short(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return String(value)
  if (Math.abs(value) < 1) return value.toPrecision(3)
  const power = Math.min(SUFFIXES.length - 1, Math.floor(Math.log10(Math.abs(value)) / 3 + 1e-9))
  return `${Number((value / 1000 ** power).toPrecision(3))}${SUFFIXES[power]!}`
}
