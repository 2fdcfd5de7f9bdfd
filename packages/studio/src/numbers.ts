// Numbers as people read them.

const scaled = (value: number, base: number, units: readonly string[]): string => {
  if (!Number.isFinite(value)) return '∞'
  if (value !== 0 && Math.abs(value) < 1) return `${value.toPrecision(2)}${units[0]!}`
  const power = Math.min(
    units.length - 1,
    Math.max(0, Math.floor(Math.log(Math.max(1, Math.abs(value))) / Math.log(base) + 1e-9)),
  )
  return `${Number((value / base ** power).toPrecision(3))}${units[power]!}`
}

export const count = (value: number): string => scaled(value, 1000, ['', 'k', 'M', 'B', 'T', 'P'])
export const bytes = (value: number): string => scaled(value, 1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB'])
export const percent = (share: number): string => `${(share * 100).toFixed(1)} %`

export function duration(hours: number): string {
  if (!Number.isFinite(hours)) return 'never'
  if (hours < 1 / 60) return `${(hours * 3600).toFixed(0)} s`
  if (hours < 1) return `${(hours * 60).toFixed(0)} min`
  if (hours < 72) return `${hours.toFixed(1)} h`
  return hours < 24 * 730 ? `${(hours / 24).toFixed(1)} days` : `${(hours / 24 / 365).toFixed(0)} years`
}

export const clock = (iso: string): string =>
  new Date(iso).toLocaleString(undefined, { dateStyle: 'short', timeStyle: 'medium' })
